"""lock-contention: an owner that runs, or is in a wait that can end, and others that wait.

A note, never a verdict: one snapshot has no durations.
"""

from __future__ import annotations

from typing import List, Optional, Set, Tuple

from dumpwalk.analysis.facts import Facts, LockFact, thread_node
from dumpwalk.claims.model import Actor, Finding
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.locks.graph import Node
from dumpwalk.locks.waits import Wait

KIND = "lock-contention"
SENTENCE = "threads wait for a lock whose owner can still go on"


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
    doing, going_on = _doing(wait)
    frame = wording.place(facts, owner)
    evidence = [
        *wording.holder_evidence(lock, owner, f"the owner of {lock.label} is thread {owner.index}"),
        *wording.waiters_evidence(facts, lock),
    ]
    count = wording.plural(len(waiting), "thread waits", "threads wait")
    many = "waits" if len(waiting) == 1 else "wait"
    observed = [
        f"{wording.person(facts, owner)} holds {lock.label} and {doing}{frame}.",
        f"{wording.thread_words(waiting).capitalize()} {many} for it.",
    ]
    if lock.state.starving_since is not None:
        observed.append(
            f"The oldest waiter that starves began to wait at {lock.state.starving_since} ms of the monotonic clock (32 bits)."
        )
    return Finding(
        id=f"{KIND}-0x{lock.state.address:x}",
        kind=KIND,
        confidence="proved" if all(w.grade == "proved" for w in lock.waiters) else "corroborated",
        title=f"{count} for {lock.label}; its owner {going_on}.",
        observed=tuple(observed),
        therefore=(),
        consistent_with=("A slow owner, or a busy lock.",),
        not_established=(
            "That anybody is stuck: one snapshot has no durations. A second dump, some seconds later, would tell.",
        ),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="none",
        summary=(
            f"{wording.person(facts, owner)} holds {lock.label} and {doing}{frame}; {wording.thread_words(waiting)} {many} for it.",
        ),
        actors=(Actor(owner.index, "owner"), *(Actor(t.index, "waiter") for t in waiting)),
        locks=(f"0x{lock.state.address:x}",),
    )


def _doing(wait: Optional[Wait]) -> Tuple[str, str]:
    """(what the owner does, what that means for the lock), no more than is shown."""
    if wait is None or wait.call.inside is False:
        return "is running", "can still go on"
    if wait.call.inside is None:
        return "may be running", "is not shown to be stuck"
    if wait.kind in ("sleep", "timed-wait") or wait.timed:
        return f"is in a wait that ends by itself ({wait.kind})", "can still go on"
    if wait.lock is not None:
        return f"waits for another lock ({wait.kind})", "waits for another lock"
    if wait.explained:
        return f"is in a wait that can end ({wait.kind})", "is in a wait that can end"
    return f"is in a wait ({wait.kind})", "is in a wait of which it is not known whether it ends"


DETECTOR = Detector(KIND, 95, {"none": SENTENCE}, "a note", detect)
