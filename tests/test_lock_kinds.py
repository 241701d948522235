"""A kind of lock over real waits: its layer is what the thread waits for, its owners close cycles by any number they go by."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Iterable, List, Optional, Tuple

import pytest

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.observe import observe
from dumpwalk.core.parts import exported
from dumpwalk.core.process import Process
from dumpwalk.core.thread_index import RuntimeThread, ThreadIndex
from dumpwalk.engine.run import report_of
from dumpwalk.locks import kind as kinds_of_locks
from dumpwalk.locks.graph import Edge, Node
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import LockState, Owner, Word
from dumpwalk.locks.waits import Layer, Wait
from tests.bare_process import bare_process
from tests.conftest import truth_of

TRUTH = truth_of("native-convoy")["locks"]["queue_lock"]
NATIVE, MONITOR = int(TRUTH["address"], 16), 0x7F00_0000_1000
OWNER, WAITERS = TRUTH["owner_tid"], TRUTH["waiters"]


class Monitors(LockReader):
    """All who sleep on the convoy's mutex wait for one monitor in truth, which these own."""

    def __init__(self, *owners: Owner, waits_for: Optional[Node] = None) -> None:
        word = Word("m_HoldingThread", MONITOR + 8, 1)
        named = tuple(replace(owner, word=word) for owner in owners)
        self.lock = LockState(
            MONITOR, "sync-block", True, None, None, MONITOR, more_owners=named, kind="monitor", name="A"
        )
        self.target = waits_for

    def layer(self, wait: Wait) -> Optional[Layer]:
        if wait.lock is None or wait.lock.address != NATIVE:
            return None
        how = f"its stack holds 0x{MONITOR:x}"
        if self.target is not None:
            return Layer("join", None, None, "proved", how, self.target)
        return Layer("monitor", MONITOR, self.lock, "corroborated", how)

    def edges(self) -> Iterable[Edge]:
        return [Edge(self.target, Node("thread", 1), "ended-by", "proved", "")] if self.target else []

    def labels(self) -> Iterable[Tuple[Node, str]]:
        return [(self.target, "the end of thread 1")] if self.target else []

    def lacks(self) -> Iterable[str]:
        return ["one sync block is not in the dump"]


@pytest.fixture
def facts_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[LockReader], Tuple[Facts, Process]]:
    def collected(reader: LockReader) -> Tuple[Facts, Process]:
        scenes: List[Scene] = []

        def opened(scene: Scene) -> LockReader:
            scenes.append(scene)
            return reader

        kind = LockKind("monitor", "managed-locks", opened)
        monkeypatch.setattr(kinds_of_locks, "kinds", lambda: [kind])
        process = bare_process("native-convoy")
        facts = observe(process)
        assert [s.process for s in scenes] == [process]
        return facts, process

    return collected


def test_outermost_layer_is_what_the_thread_waits_for(facts_with) -> None:
    facts, process = facts_with(Monitors(Owner("os-tid", OWNER)))
    waits = [w for w in facts.waits if w.thread.tid in WAITERS]
    assert {(w.kind, w.grade, w.node) for w in waits} == {("monitor", "corroborated", Node("lock", MONITOR))}
    assert {(b.kind, b.lock.address) for w in waits for b in w.below if b.lock} == {("mutex", NATIVE)}
    (row,) = facts.locks
    assert (row.kind, row.label, row.owner.tid, len(row.waiters)) == ("monitor", "'A'", OWNER, len(WAITERS))
    report = report_of(facts, "core", process.corefile)
    assert {t.wait.lock for t in report.threads if t.tid in WAITERS and t.wait} == {f"0x{MONITOR:x}"}


def test_many_owners_are_edges_each_and_close_a_cycle(facts_with) -> None:
    facts, process = facts_with(Monitors(Owner("os-tid", OWNER), Owner("os-tid", WAITERS[0], holding="shared")))
    held = {e.target for e in facts.graph.edges if e.kind == "held-by"}
    assert held == {Node("thread", process.thread_by_tid(t).index) for t in (OWNER, WAITERS[0])}
    assert [len(cycle) for cycle in facts.graph.cycles()] == [2]
    assert {type(e.fact).__name__ for e in facts.graph.edges} == {"Wait", "Owner"}


def test_node_that_is_no_lock_closes_a_cycle_too(facts_with) -> None:
    """Threads that wait for the end of thread 1, which waits for nobody: a path, with its own node in the report."""
    facts, process = facts_with(Monitors(waits_for=Node("thread-end", 1)))
    report = report_of(facts, "core", process.corefile)
    nodes = {n.id: (n.kind, n.label) for n in report.wait_graph.nodes}
    assert nodes["thread-end-0x1"] == ("thread-end", "the end of thread 1")
    assert ("thread-end-0x1", "thread-1", "ended-by") in {(e.source, e.target, e.kind) for e in report.wait_graph.edges}
    assert report.locks == ()


def test_what_a_kind_could_not_read_makes_its_area_partial(facts_with) -> None:
    facts, _ = facts_with(Monitors(Owner("os-tid", OWNER)))
    assert facts.reading is not None and facts.reading.lacks == (
        ("managed-locks", "one sync block is not in the dump"),
    )


def test_threads_by_every_number() -> None:
    process = bare_process("native-convoy")
    records = [RuntimeThread(0x1000, 1, OWNER), RuntimeThread(0x2000, 2, None)]
    index = ThreadIndex(process, records, complete=True)
    owner = process.thread_by_tid(OWNER)
    for numbering, number in (("os-tid", OWNER), ("managed-id", 1), ("thread-address", 0x1000)):
        assert index.named(numbering, number) == (owner, False)
    assert index.named("managed-id", 2) == index.named("thread-address", 0x2000) == (None, True)
    assert index.named("managed-id", 3) == (None, True)
    assert ThreadIndex(process, records).named("managed-id", 3) == (None, False), "an incomplete list proves nothing"


def test_parts_are_found_by_walking_a_package() -> None:
    assert "dispatch-cache-cycle" in [d.kind for d in exported("dumpwalk.detectors", "DETECTOR")]
    ranks = [k.rank for k in kinds_of_locks.kinds()]
    assert ranks == sorted(ranks)
