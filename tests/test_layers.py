"""The house's floors: every room imports from lower floors only, no two modules import each other in a circle.

docs/internals.md draws the same table. Imports inside functions count: an import that runs back up is one, however late.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import networkx
import pytest

from tests.conftest import ROOT

FLOORS: Tuple[Tuple[str, ...], ...] = (
    ("limits", "scratch", "dataclass"),
    ("core",),
    ("errors", "list_walk", "claims"),
    ("images",),
    ("dump", "unwinding", "binaries"),
    ("debugger", "helix", "locks"),
    ("coreclr", "live"),
    ("analysis",),
    ("detectors", "report", "evidence"),
    ("engine", "explanations"),
    ("jobs", "triage", "compare"),
    ("api",),
    ("front",),
    ("dumpwalk", "__main__"),
)
"""The lowest first; rooms of one floor know nothing of each other."""
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PACKAGE = ROOT / "dumpwalk"


def modules() -> Dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports when it runs: not for type checkers, and not the version's number."""

    def visit(nodes: List[ast.AST]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            if isinstance(node, ast.ImportFrom) and node.module and re.match(r"dumpwalk\b", node.module):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    if full != "dumpwalk.__version__":
                        yield full if full in MODULES else node.module
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if re.match(r"dumpwalk\b", alias.name))
            yield from visit(list(ast.iter_child_nodes(node)))

    yield from visit(list(ast.iter_child_nodes(ast.parse(path.read_text(encoding="utf-8")))))


@functools.cache
def edges() -> Set[Tuple[str, str]]:
    return {(name, target) for name, path in MODULES.items() for target in imported(path) if target != name}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else module


def test_every_room_stands_on_a_floor() -> None:
    assert {room_of(name) for name in MODULES} == set(FLOOR_OF)


@pytest.mark.parametrize("room", sorted(FLOOR_OF))
def test_a_room_imports_from_lower_floors_only(room: str) -> None:
    wrong = [
        f"{source} imports {target}"
        for source, target in sorted(edges())
        if room_of(source) == room != room_of(target) and FLOOR_OF[room_of(target)] >= FLOOR_OF[room]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = networkx.DiGraph(sorted(edges()))
    facade = {"dumpwalk", "dumpwalk.__main__"}  # imports nothing before it is called
    graph.remove_nodes_from(facade)
    assert [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1] == []


def test_lldb_is_imported_in_one_room() -> None:
    """front/session.py runs inside lldb, where the module is there already."""
    users = set()
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            if any(re.match(r"lldb\b", n) for n in names):
                users.add(room_of(name))
    assert users <= {"debugger", "front"}


def test_the_page_of_internals_tells_the_same_floors() -> None:
    page = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", page, re.MULTILINE)
    told = {int(number): tuple(re.findall(r"`([\w]+)`", rooms)) for number, rooms in rows}
    assert told == dict(enumerate(FLOORS))


def test_every_room_of_the_page_exists() -> None:
    page = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:dumpwalk/)?[a-z_]+/[a-z_/]*(?:\.py|\.md)?)`", page)
    missing = [n for n in named if not (PACKAGE / n.replace("dumpwalk/", "")).exists() and not (ROOT / n).exists()]
    assert named and missing == []
