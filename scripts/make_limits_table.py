"""Writes the table of docs/limits.md from dumpwalk/limits.py: `python scripts/make_limits_table.py`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import List, Tuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "limits.md"
BEGIN, END = "<!-- table: scripts/make_limits_table.py -->", "<!-- end of table -->"


def entries() -> List[Tuple[str, str, str]]:
    """(name, value as text, why) of every bound, in the order of the source."""
    sys.path.insert(0, str(ROOT))
    from dumpwalk import limits

    source = ast.parse(Path(limits.__file__).read_text(encoding="utf-8")).body
    found = []
    for node, following in zip(source, source[1:]):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            why = ast.literal_eval(following.value) if isinstance(following, ast.Expr) else ""
            found.append((name, _shown(name, getattr(limits, name)), " ".join(str(why).split())))
    return found


def _shown(name: str, value: float) -> str:
    if name.endswith("_BYTES"):
        for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
            if value >= 1 << shift:
                return f"{int(value) >> shift} {unit}"
    if name.endswith("_SECONDS"):
        return f"{value} s"
    return f"{value:,}"


def table() -> str:
    rows = [f"| `{name}` | {value} | {why} |" for name, value, why in entries()]
    return "\n".join([BEGIN, "", "| limit | value | what and why |", "| --- | --- | --- |", *rows, "", END])


def page(text: str) -> str:
    """The page with its table replaced."""
    start, end = text.index(BEGIN), text.index(END) + len(END)
    return text[:start] + table() + text[end:]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
