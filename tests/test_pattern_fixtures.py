"""Every row of the known pictures: the real processes that it names fire it, its twins do not, or it says why it has none."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Dict, Set

import pytest

from dumpwalk.analysis.observe import observe
from dumpwalk.debugger.open import opened
from dumpwalk.detectors import not_a_hang, runtime_pattern
from dumpwalk.detectors.hang_patterns import PATTERNS, Pattern
from fixtures import packages
from tests.conftest import ROOT, unpack_core

NAMED = sorted({name for row in PATTERNS for name in (*row.fires, *row.silent) if "::" not in name})


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Set[str]]:
    """Core to the keys of the rows that are told of it: without lldb, but with 3.1.23's libcoreclr, which has symbols."""
    library = str(packages.framework_folder() / "libcoreclr.so")
    folder = str(tmp_path_factory.mktemp("opened"))
    found = {}
    for name in NAMED:
        with opened(str(unpack_core(name)), [library], None, lambda: folder, why_bare="a test without lldb") as process:
            facts = observe(process)
            told = [*runtime_pattern.detect(facts), *not_a_hang.detect(facts)]
            found[name] = {f.id.replace(f.kind + "-", "", 1) for f in told}
    return found


@pytest.mark.parametrize("row", PATTERNS, ids=[row.key for row in PATTERNS])
def test_a_row_fires_in_its_cores_and_not_in_its_twins(row: Pattern, shown: Dict[str, Set[str]]) -> None:
    assert bool(row.fires) != bool(row.unmade), "real processes, or why there is none"
    assert bool(row.fires) == bool(row.silent), "a twin for what fires"
    assert not set(row.fires) & set(row.silent)
    for name in (*row.fires, *row.silent):
        file, _, test = name.partition("::")
        if test:
            tree = ast.parse(Path(ROOT / "tests" / file).read_text(encoding="utf-8"))
            assert test in {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}, name
        else:
            assert (row.key in shown[name]) == (name in row.fires), name


def test_a_core_fires_no_row_that_does_not_name_it(shown: Dict[str, Set[str]]) -> None:
    told = {row.key: set(row.fires) for row in PATTERNS}
    assert [(name, key) for name, keys in shown.items() for key in keys if name not in told[key]] == []
