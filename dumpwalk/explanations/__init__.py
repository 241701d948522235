"""The texts of `dumpwalk explain`: one Markdown file a kind, beside its detector, or here for a verdict without a finding."""

from __future__ import annotations

from importlib.resources import files as folder_of
from typing import Any, Dict, List

from dumpwalk.errors import Usage

_PACKAGES = ("dumpwalk.detectors", "dumpwalk.explanations")


def files() -> Dict[str, Any]:
    """Kind to its text's file (a path, or a member of the zip that dumpwalk runs from), in alphabetical order."""
    found = {f.name[:-3]: f for package in _PACKAGES for f in folder_of(package).iterdir() if f.name.endswith(".md")}
    return dict(sorted(found.items()))


def kinds() -> List[str]:
    """All kinds that have a text, in alphabetical order."""
    return list(files())


def text(kind: str) -> str:
    """The text of one kind. Raises Usage for a word that is no kind."""
    file = files().get(kind)
    if file is None:
        raise Usage(f"{kind} is no finding kind; the kinds are {', '.join(kinds())}.")
    return str(file.read_text(encoding="utf-8"))


def listing() -> str:
    """Each kind with the first sentence of its text."""
    lines = []
    for kind in kinds():
        body = text(kind).split("\n\n")
        first = body[1].replace("\n", " ") if len(body) > 1 else ""
        lines.append(f"{kind}\n    {first.split('. ')[0].rstrip('.')}.")
    return "\n".join(lines)
