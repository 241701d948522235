"""A heap dump of 3.1 with no file of the process at hand: no symbol, no metadata. What memory tells is told all the same."""

from __future__ import annotations

from typing import Dict, List

import pytest

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr.locks.spinlock import _is_struct_field
from dumpwalk.coreclr.locks.sync_table import read_sync_table
from dumpwalk.coreclr.types.shapes import SHAPES
from dumpwalk.coreclr.words import Unknown
from dumpwalk.engine.run import report_of
from dumpwalk.report.model import Report
from tests.bare_process import bare_process, rewrite
from tests.conftest import truth_of

HALL = "hangs/net31-hall"
TRUTH = truth_of(HALL)
SLIM = "System.Threading.ReaderWriterLockSlim"


@pytest.fixture(scope="module")
def facts() -> Facts:
    return observe(bare_process(HALL))


@pytest.fixture(scope="module")
def report(facts: Facts) -> Report:
    return report_of(facts, "core", facts.process.corefile)


def tids(report: Report, kind: str, role: str) -> List[List[int]]:
    by_index: Dict[int, int] = {t.index: t.tid or 0 for t in report.threads}
    found = [f for f in report.findings if f.kind == kind and f.status == "hang"]
    return sorted(sorted(by_index[a.thread] for a in f.actors if a.role == role) for f in found)


def test_each_hang_is_a_finding_and_no_twin_is(report: Report) -> None:
    assert (report.verdict.exit_code, report.verdict.kind) == (10, "lock-cycle")
    assert tids(report, "lock-cycle", "holder") == sorted(sorted(ring) for ring in TRUTH["ring_tids"])
    assert tids(report, "lock-orphaned", "waiter") == [[TRUTH["threads"]["mourner"]["tid"]]]
    assert report.verdict.signature is None, "its methods and types have no names"


def test_table_of_sync_blocks_is_known_by_its_form(facts: Facts) -> None:
    assert facts.around is not None
    table = read_sync_table(facts.around)
    assert table.status == "complete" and not table.disagreeing
    objects = {entry.object for entry in table.entries}
    monitors = {k: v for k, v in TRUTH["locks"].items() if v["kind"] == "monitor" and v["waiters"]}
    assert {int(lock["address"], 16) for lock in monitors.values()} <= objects and len(monitors) >= 5


def test_types_are_known_by_the_layout_of_their_fields(facts: Facts, report: Report) -> None:
    assert facts.view is not None
    for name in ("books", "map", "cellar", "attic", "plan"):
        lock = TRUTH["locks"][name]
        assert facts.view.type_of(int(lock["address"], 16)) == lock["type"]
    for name in ("books", "map"):
        row = next(k for k in report.locks if k.address == TRUTH["locks"][name]["address"])
        assert [(o.tid, o.holding) for o in row.owners] == [(TRUTH["locks"][name]["owners"][0], "shared")]


@pytest.mark.parametrize("position", [0, 7, 16])
def test_type_with_one_field_elsewhere_is_not_that_type(position: int) -> None:
    process = bare_process(HALL)
    view = observe(process).view
    assert view is not None
    books = int(TRUTH["locks"]["books"]["address"], 16)
    table = view.method_table_of(books)
    assert isinstance(table, int)
    at = view.types.field_list(table) + 16 * position + 8
    word = process.memory.read(at, 8)
    assert word is not None
    changed = observe(rewrite(process, {at: int.from_bytes(word, "little") ^ 1 << 36})).view
    assert changed is not None and isinstance(changed.type_of(books), Unknown)


def test_wait_that_the_framework_makes_in_a_method_without_a_name_is_not_explained(report: Report) -> None:
    """A task, a semaphore and a barrier are waited for by Monitor.Wait; only who calls that directly waits for a pulse alone."""
    (told,) = [c for c in report.coverage if c.area == "managed-locks"]
    index = {t.tid: t.index for t in report.threads}
    numbers = told.why.split("not recognised: ")[1].split(";")[0].split()
    unknown = {n for part in numbers for n in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)}
    roles = {role: index[thread["tid"]] for role, thread in TRUTH["threads"].items() if thread["alive"]}
    assert {roles["taker"], roles["jumper"], roles["counter"]} <= unknown
    assert not unknown & {roles["listener"], roles["watcher"], roles["main"], roles["writer-1"]}


def test_shapes_differ_from_each_other() -> None:
    made = {(s.assembly, s.base_size, tuple(f[1:] for f in s.fields)) for s in SHAPES}
    assert len(made) == len(SHAPES)


@pytest.mark.parametrize("name", ["hangs/net9-hall-healthy", "hangs/net8-annex", "managed/linux-x64-10.0.12-rwlock"])
def test_other_versions_lay_the_same_fields_out(name: str) -> None:
    """Here the metadata is at hand, too: both give the same fields at the same places."""
    facts, truth = observe(bare_process(name)), truth_of(name)
    view = facts.view
    assert view is not None and facts.managed is not None
    locks = truth["locks"].values() if "locks" in truth else truth["expectation"]["locks"]
    address = next(int(lock["address"], 16) for lock in locks if lock["type"] == SLIM)
    table = view.method_table_of(address)
    assert isinstance(table, int)
    shape = view.field_lists.shape(table)
    assert shape is not None and shape.type_name == SLIM
    named = {f.name: (f.element_type, f.offset) for f in view.field_lists.own(table) if not f.static}
    assert {f.name: (f.element_type, f.offset) for f in shape.fields} == named
    counts = [view.thread_static(table, "t_rwc", thread.address) for thread in facts.managed.threads]
    counted = next(int(c.value) for c in counts if not isinstance(c, Unknown) and c.value)
    of_counts = view.method_table_of(counted)
    assert isinstance(of_counts, int)
    shape = view.field_lists.shape(of_counts)
    assert shape is not None and shape.type_name == "System.Threading.ReaderWriterCount"


def test_word_in_an_object_is_a_struct_s_by_the_object_s_own_fields(facts: Facts) -> None:
    """As a SpinLock is found whose holder's type has no name: _spinLock of a ReaderWriterLockSlim is such a struct."""
    assert facts.view is not None and facts.around is not None
    books = int(TRUTH["locks"]["books"]["address"], 16)
    assert [offset for offset in range(8, 0x58, 4) if _is_struct_field(facts.around, books + offset)] == [0x50]
    table = facts.view.method_table_of(books)
    assert isinstance(table, int) and not facts.view.field_lists.is_one_number(table)
