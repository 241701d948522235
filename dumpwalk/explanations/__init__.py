"""The texts of `dumpwalk explain`: one Markdown file a finding kind, in this folder."""

from __future__ import annotations

import os
from typing import List

from dumpwalk.errors import Usage

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def kinds() -> List[str]:
    """All kinds that have a text, in alphabetical order."""
    return sorted(f[:-3] for f in os.listdir(_FOLDER) if f.endswith(".md"))


def text(kind: str) -> str:
    """The text of one kind. Raises Usage for a word that is no kind."""
    if kind not in kinds():
        raise Usage(f"{kind} is no finding kind; the kinds are {', '.join(kinds())}.")
    with open(os.path.join(_FOLDER, f"{kind}.md"), encoding="utf-8") as stream:
        return stream.read()


def listing() -> str:
    """Each kind with the first sentence of its text."""
    lines = []
    for kind in kinds():
        body = text(kind).split("\n\n")
        first = body[1].replace("\n", " ") if len(body) > 1 else ""
        lines.append(f"{kind}\n    {first.split('. ')[0].rstrip('.')}.")
    return "\n".join(lines)
