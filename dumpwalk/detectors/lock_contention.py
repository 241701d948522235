"""lock-contention: a lock with an owner that is there, and others that wait for it, in no deadlock.

A note where the owner runs or waits for a time: one snapshot has no durations. An owner that waits itself, without a
time limit, for something that nobody is known to end (an event, a semaphore, a sleep without end) makes the answer
inconclusive: that may be the hang, or it may be a moment's pause.
"""

from __future__ import annotations

from typing import List, Optional, Set, Tuple

from dumpwalk.analysis.facts import Facts, LockFact, thread_node
from dumpwalk.analysis.results import PoolLook
from dumpwalk.claims.model import Actor, Finding
from dumpwalk.core.process import Thread
from dumpwalk.core.signals import is_fault, name_of
from dumpwalk.coreclr.locks import woken
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.locks.graph import Node
from dumpwalk.locks.syscalls import time_limit
from dumpwalk.locks.waits import Wait

KIND = "lock-contention"
SENTENCE = "threads wait for a lock that another thread holds"
ENDLESS_SENTENCE = "the owner of a lock that others wait for waits itself, and nothing shows who would end that"
_CAN, _CAN_THEN = "can still go on", "can go on then"


def detect(facts: Facts) -> List[Finding]:
    doomed: Set[Node] = {node for cycle in facts.graph.cycles() for node in cycle}
    doomed |= {thread_node(w.thread) for w in facts.walkers if w.stuck}
    doomed |= {k.node for k in facts.locks if k.owner_gone}
    doomed |= set(facts.graph.reaching(*doomed))
    starving = {thread.index for thread in facts.of(PoolLook).starving}
    waits = {w.thread.index: w for w in facts.waits}
    candidates: List[Tuple[LockFact, Thread]] = []
    for lock in facts.locks:
        owner = lock.owner
        if owner is not None and starving.issuperset([owner.index, *(wait.thread.index for wait in lock.waiters)]):
            continue  # told as a starved pool
        if lock.waiters and owner is not None and lock.node not in doomed and thread_node(owner) not in doomed:
            candidates.append((lock, owner))
    return [_finding(facts, lock, owner, waits.get(owner.index)) for lock, owner in wording.told_in_full(candidates)]


def _finding(facts: Facts, lock: LockFact, owner: Thread, wait: Optional[Wait]) -> Finding:
    waiting = [w.thread for w in lock.waiters]
    doing, going_on = _doing(facts, owner, wait)
    endless = wait is not None and _without_end(facts, wait)
    shown = going_on in (_CAN, _CAN_THEN)
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
    limits_told = _time_limits(facts, lock)
    observed += limits_told
    return Finding(
        id=f"{KIND}-0x{lock.state.address:x}",
        kind=KIND,
        confidence="proved" if all(w.grade == "proved" for w in lock.waiters) else "corroborated",
        title=f"{count} for {lock.label}; its owner {going_on}.",
        observed=tuple(observed),
        therefore=(),
        consistent_with=("A slow owner, or a busy lock.",) if shown else (),
        not_established=(
            "That anybody is stuck: one snapshot has no durations. A second dump, some seconds later, would tell.",
            *(() if shown else ("That the owner can go on.",)),
        ),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="inconclusive" if endless else "none",
        summary=(
            f"{wording.person(facts, owner)} holds {lock.label} and {doing}{frame}; {wording.thread_words(waiting)} {many} for it.",
            *limits_told,
        ),
        actors=(Actor(owner.index, "owner"), *(Actor(t.index, "waiter") for t in waiting)),
        locks=(f"0x{lock.state.address:x}",),
    )


_OUTSIDE = {
    "read": "waits for something to read",
    "poll": "waits for a descriptor",
    "accept": "waits for a connection",
    "write": "waits until something can be written",
    "wait": "waits for a child process",
    "signal": "waits for a signal",
}
"""Waits that end when something outside of the process happens, by the kind of the system call."""


def _doing(facts: Facts, owner: Thread, wait: Optional[Wait]) -> Tuple[str, str]:
    """(what the owner does, what that means for the lock), no more than is shown."""
    fatal = _fatal_signal(facts, owner)
    if fatal is not None:
        return f"had received {fatal} when the dump was made", f"had received {fatal}"
    if wait is None or wait.call.inside is False:
        return "is running", _CAN
    if wait.call.inside is None:
        return "may be running", "is not shown to be stuck"
    if wait.lock is not None:
        other = facts.lock_at(wait.lock.address)
        label = other.label if other is not None else f"lock 0x{wait.lock.address:x}"
        until = f" ({time_limit(facts.process, wait.call) or 'with a time-out'})" if wait.timed else ""
        return f"waits for {label} itself{until}", f"waits for {label} itself{until}"
    if wait.kind == woken.WOKEN:
        return wait.explained, _CAN
    if wait.kind == "sleep" and wait.call.kind != "sleep" and not wait.timed:
        return "sleeps without a time limit", "sleeps without a time limit"
    if wait.kind in ("sleep", "timed-wait") or wait.timed:
        until = time_limit(facts.process, wait.call)
        return f"is in a wait that ends by itself ({wait.kind}{', ' + until if until else ''})", _CAN_THEN
    if wait.kind in _OUTSIDE:
        return f"{_OUTSIDE[wait.kind]} ({wait.kind})", _OUTSIDE[wait.kind]
    if wait.target is not None and wait.target in facts.graph.nodes:
        label = facts.graph.nodes[wait.target]
        return f"waits for {label}", f"waits for {label}"
    if wait.explained:
        return f"is in a wait that somebody may end ({wait.kind})", "is in a wait that somebody may end"
    return (
        f"is in a wait that nothing here explains ({wait.kind})",
        "is in a wait of which it is not known whether it ends",
    )


def _without_end(facts: Facts, wait: Wait) -> bool:
    """An untimed wait that the graph does not follow any further, for nothing outside of the process: of any thread it may be
    the business to end it."""
    if wait.kind == woken.WOKEN:
        return False
    if not wait.call.inside or wait.lock is not None or wait.timed or wait.call.kind in ("sleep", "timed-wait", "kill"):
        return False  # who sends a signal waits for nobody: abort() is such a one
    if (
        wait.kind in _OUTSIDE
        or wait.call.kind in _OUTSIDE
        or (wait.target is not None and wait.target.kind == "external")
    ):
        return False
    return wait.target is None or not any(e.source == wait.target for e in facts.graph.edges)


def _fatal_signal(facts: Facts, thread: Thread) -> Optional[str]:
    """The name of a signal of a fault or an abort that this thread had got when the dump was made. The signal in a thread's
    own note is not asked: gdb and createdump 3.1 write one signal into all of them."""
    core = facts.process.corefile
    if core is None or core.crash_thread is None or core.crash_thread != thread.tid or core.crash_signal is None:
        return None
    return name_of(core.os, core.crash_signal) if is_fault(core.os, core.crash_signal) else None


def _time_limits(facts: Facts, lock: LockFact) -> List[str]:
    """One sentence on the waiters that end by themselves."""
    timed = [w for w in lock.waiters if w.timed]
    if not timed:
        return []
    told = time_limit(facts.process, timed[0].call) or "with a time-out"
    waits = "wait of" if len(timed) == 1 else "waits of"
    end = "ends by itself" if len(timed) == 1 else "end by themselves"
    return [f"The {waits} {wording.thread_words([w.thread for w in timed])} {end}: {told}."]


DETECTOR = Detector(
    KIND,
    70,
    {"none": SENTENCE, "inconclusive": ENDLESS_SENTENCE},
    "a note; inconclusive (12) where the owner waits",
    detect,
)
