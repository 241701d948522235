"""lock-contention: an owner that runs, or is in a wait that can end, and others that wait.

A note, never a verdict: one snapshot has no durations.
"""

from __future__ import annotations

from typing import List, Set

from dumpwalk.analysis.facts import Facts, LockFact, thread_node
from dumpwalk.claims.model import Actor, Finding
from dumpwalk.core.names import plain
from dumpwalk.coreclr.locks.names import first_own_frame
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.locks.graph import Node

KIND = "lock-contention"


def detect(facts: Facts) -> List[Finding]:
    doomed: Set[Node] = {node for cycle in facts.graph.cycles() for node in cycle}
    doomed |= {thread_node(w.thread) for w in facts.walkers if w.stuck}
    doomed |= {k.node for k in facts.locks if k.owner_gone}
    for root in list(doomed):
        doomed.update(facts.graph.reaching(root))
    found = []
    for lock in facts.locks:
        if (
            lock.waiters
            and lock.owner is not None
            and lock.node not in doomed
            and thread_node(lock.owner) not in doomed
        ):
            found.append(_finding(facts, lock))
    return found


def _finding(facts: Facts, lock: LockFact) -> Finding:
    owner = lock.owner
    assert owner is not None
    waiting = [w.thread for w in lock.waiters]
    wait = facts.wait_of(owner)
    doing = "is running" if wait is None or not wait.call.inside else f"is in a wait that can end ({wait.kind})"
    frame = first_own_frame(owner.frames())
    if frame is not None and frame.function:
        doing += f", in {plain(frame.function)}"
    evidence = wording.waiters_evidence(facts, lock)
    proof = wording.owner_evidence(lock, f"the owner of {lock.label} is thread {owner.index}")
    if proof is not None:
        evidence.insert(0, proof)
    return Finding(
        id=f"{KIND}-0x{lock.state.address:x}",
        kind=KIND,
        confidence="proved",
        title=f"{wording.plural(len(waiting), 'thread waits', 'threads wait')} for {lock.label}; its owner can still go on.",
        observed=(
            f"{wording.tid_words(owner).capitalize()} holds {lock.label} and {doing}.",
            f"{wording.thread_words(waiting).capitalize()} wait for it.",
        ),
        therefore=(),
        consistent_with=("A slow owner, or a busy lock.",),
        not_established=(
            "That anybody is stuck: one snapshot has no durations. A second dump, some seconds later, would tell.",
        ),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="none",
        summary=(
            f"{wording.tid_words(owner).capitalize()} holds {lock.label} and {doing}; "
            f"{wording.thread_words(waiting)} {'waits' if len(waiting) == 1 else 'wait'} for it.",
        ),
        actors=(Actor(owner.index, "owner"), *(Actor(t.index, "waiter") for t in waiting)),
        locks=(f"0x{lock.state.address:x}",),
    )


DETECTOR = Detector(
    KIND,
    70,
    {"none": "threads wait for a lock whose owner can still go on"},
    "a note",
    detect,
)
