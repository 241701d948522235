"""What exactly a thread waits for: any of several kernel objects or all of them, to read or to write, the end of which thread.

The core holds three deadlocks and, beside each, waits that look like it: one that another object may end, one behind a writer
that gives up, one for the upgradeable reader alone.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any, Dict, List, Tuple

import pytest

from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr.locks.pal_objects import pal_waits
from dumpwalk.coreclr.locks.woken import woken
from dumpwalk.engine.run import report_of
from dumpwalk.locks.waits import Wait
from dumpwalk.report.model import Report
from tests.bare_process import bare_process, rewrite
from tests.real_cores import analyze, tids, truth_of

ANNEX = "hangs/net8-annex"
TRUTH = truth_of(ANNEX)
TIDS = {role: thread["tid"] for role, thread in TRUTH["threads"].items()}


def rings(report: Dict[str, Any], status: str) -> List[List[int]]:
    by_index = tids(report)
    found = [f for f in report["findings"] if f["kind"] == "lock-cycle" and f["status"] == status]
    return sorted(sorted(by_index[a["thread"]] for a in f["actors"] if a["role"] == "holder") for f in found)


def roles(*names: str) -> List[int]:
    return sorted(TIDS[name] for name in names)


def row_of(report: Dict[str, Any], lock: str) -> Dict[str, Any]:
    return next(row for row in report["locks"] if row["address"] == TRUTH["locks"][lock]["address"])


def test_rings_are_those_that_nothing_else_can_end() -> None:
    code, report, _ = analyze(ANNEX)
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (10, "hang", "lock-cycle")
    assert rings(report, "hang") == sorted(sorted(ring) for ring in TRUTH["ring_tids"])
    assert rings(report, "suspicious") == [roles("page-1", "page-2", "page-3")], "its writer gives up after an hour"


def test_reader_behind_a_writer_waits_for_the_writer_and_not_for_the_readers() -> None:
    _, report, _ = analyze(ANNEX)
    queue = f"lock-queue-{TRUTH['locks']['map']['address']}"
    edges = {(e["from"], e["to"]) for e in report["wait_graph"]["edges"]}
    node = {tid: f"thread-{index}" for index, tid in tids(report).items()}
    reader, writer, other = (node[TIDS[f"clerk-{n}"]] for n in (2, 3, 1))
    assert {(reader, queue), (queue, writer)} <= edges
    assert (queue, other) not in edges and (reader, queue.replace("lock-queue", "lock")) not in edges
    waiting = {tids(report)[w["thread"]] for w in row_of(report, "map")["waiters"]}
    assert waiting == {TIDS["clerk-2"], TIDS["clerk-3"]}


def test_upgradeable_reader_is_kept_out_by_the_upgradeable_one_alone() -> None:
    _, report, _ = analyze(ANNEX)
    node = {tid: f"thread-{index}" for index, tid in tids(report).items()}
    upgrade = f"lock-upgrade-{TRUTH['locks']['diary']['address']}"
    leads = [e["to"] for e in report["wait_graph"]["edges"] if e["from"] == upgrade]
    assert leads == [node[TIDS["writer-1"]]], "not the plain reader, which waits for the one that waits"


def test_join_is_known_by_its_kernel_object() -> None:
    """Join is inlined into the method, which has both threads at hand: the first wants what the joining one has."""
    _, report, _ = analyze(ANNEX)
    joining = next(t for t in report["threads"] if t["tid"] == TIDS["carter-3"])
    joined = next(t for t in report["threads"] if t["tid"] == TIDS["carter-2"])
    assert joining["wait"]["kind"] == "join"
    edge = next(e for e in report["wait_graph"]["edges"] if e["from"] == f"thread-{joining['index']}")
    assert (edge["to"], edge["grade"]) == (f"thread-end-0x{joined['index']:x}", "proved")


def test_array_of_two_dimensions_is_named_so() -> None:
    _, report, _ = analyze(ANNEX)
    assert row_of(report, "bin")["object"]["type"] == TRUTH["locks"]["bin"]["type"] == "Annex.Box[][,]"


# --- rewritten memory -------------------------------------------------------------------------------------------------


def node_of(role: str) -> Tuple[Any, int]:
    """(what the PAL says of a thread's wait, where its ThreadWaitInfo begins)."""
    facts = observe(bare_process(ANNEX))
    assert facts.around is not None
    wait = next(w for w in facts.waits if w.thread.tid == TIDS[role])
    found = pal_waits(facts.around).of(wait)
    assert found is not None
    data = facts.process.memory.read(found.node + 0x38, 8)
    assert data is not None
    return found, int.from_bytes(data, "little")


def reread(changes: Dict[int, int]) -> Report:
    process = rewrite(bare_process(ANNEX), changes)
    return report_of(observe(process), "core", process.corefile)


def test_any_and_all_are_told_apart_by_one_word() -> None:
    found, info = node_of("porter-1")
    data = bare_process(ANNEX).memory.read(info, 0x18)
    assert data is not None
    kind, domain, objects = struct.unpack_from("<IIi", data)
    assert (kind, objects, found.type, found.owner_tid) == (2, 2, 2, TIDS["porter-2"])
    report = reread({info: domain << 32 | 1})
    stuck = {a.thread for f in report.findings if f.kind == "lock-cycle" for a in f.actors}
    indexes = {t.tid: t.index for t in report.threads}
    assert not stuck & {indexes[TIDS["porter-1"]], indexes[TIDS["porter-2"]]}
    assert sum(f.kind == "lock-cycle" and f.status == "hang" for f in report.findings) == len(TRUTH["ring_tids"]) - 1


@pytest.mark.parametrize("objects", [-1, 1 << 30])
def test_damaged_count_of_objects_is_one_object(objects: int) -> None:
    _, info = node_of("porter-1")
    report = reread({info + 8: objects & 0xFFFFFFFF})
    assert report.verdict.exit_code in (10, 11, 12)


def test_waiter_that_was_woken_waits_for_nothing_any_more() -> None:
    """iPred behind the condition variable in the thread's own CPalThread, as a signal leaves it."""
    process = bare_process(ANNEX)
    facts = observe(process)
    assert facts.around is not None
    pal = pal_waits(facts.around)
    waiter = next(w for w in facts.waits if w.thread.tid == TIDS["gardener-2"])
    native = next(layer for layer in waiter.below if layer.target is not None)
    asleep = Wait(waiter.thread, waiter.call, "condition", native.word, target=native.target)
    assert woken(facts.around, pal, asleep) is None
    assert native.target is not None
    predicate = native.target.number + 0x30
    word = process.memory.read(predicate, 8)
    assert word is not None and not predicate % 8 and word[:4] == bytes(4)
    rewrite(process, {predicate: int.from_bytes(word, "little") | 1})
    layer = woken(facts.around, pal, asleep)
    assert layer is not None and (layer.kind, layer.grade, layer.target) == ("woken", "proved", None)
    elsewhere = replace(asleep, thread=next(t for t in process.threads if t.tid == TIDS["gardener-1"]))
    assert woken(facts.around, pal, elsewhere) is None, "the word is in another thread's CPalThread"
