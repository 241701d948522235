"""The texts of `dumpwalk explain`: one Markdown file a kind, beside its detector, or here for a verdict without a finding."""

from __future__ import annotations

import os
from typing import Dict, List

from dumpwalk.errors import Usage

_HERE = os.path.dirname(os.path.abspath(__file__))
_FOLDERS = (os.path.join(os.path.dirname(_HERE), "detectors"), _HERE)


def files() -> Dict[str, str]:
    """Kind to the path of its text, in alphabetical order."""
    found = {f[:-3]: os.path.join(folder, f) for folder in _FOLDERS for f in os.listdir(folder) if f.endswith(".md")}
    return dict(sorted(found.items()))


def kinds() -> List[str]:
    """All kinds that have a text, in alphabetical order."""
    return list(files())


def text(kind: str) -> str:
    """The text of one kind. Raises Usage for a word that is no kind."""
    path = files().get(kind)
    if path is None:
        raise Usage(f"{kind} is no finding kind; the kinds are {', '.join(kinds())}.")
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def listing() -> str:
    """Each kind with the first sentence of its text."""
    lines = []
    for kind in kinds():
        body = text(kind).split("\n\n")
        first = body[1].replace("\n", " ") if len(body) > 1 else ""
        lines.append(f"{kind}\n    {first.split('. ')[0].rstrip('.')}.")
    return "\n".join(lines)
