"""A comparison in the format that was asked for."""

from __future__ import annotations

import dataclasses
import json

from dumpwalk.compare.model import Comparison

FORMATS = ("text", "json", "markdown", "html")


def render(comparison: Comparison, kind: str, width: int, color: bool) -> str:
    """Without a line break at its end."""
    if kind == "json":
        return json.dumps(dataclasses.asdict(comparison), indent=1)
    if kind == "markdown":
        from dumpwalk.compare import markdown

        return markdown.render(comparison).rstrip("\n")
    if kind == "html":
        from dumpwalk.compare import page

        return page.render(comparison).rstrip("\n")
    from dumpwalk.compare import text

    return text.render(comparison, width, color)
