"""gc-suspension: a suspension of the runtime that cannot finish, where nothing found explains the threads it waits for.

Where its root is known (a thread that spins in a chain walk, a lock that is never freed) it is told there, as a consequence.
"""

from __future__ import annotations

from typing import List, Sequence

from dumpwalk.analysis.facts import Facts, thread_node
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.core.process import Thread
from dumpwalk.detectors import crash_dump, wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.signature import resource_parts

KIND = "gc-suspension"
SENTENCE = "a suspension of the runtime waits for threads in cooperative mode"
BLOCKED_SENTENCE = "a suspension of the runtime waits for a thread that is blocked in cooperative mode"
_BLOCKING = ("read", "write", "poll", "accept", "wait", "signal")
"""System calls that may last: those that end by themselves, short ones, and waits for a lock (whose owner may let it go) prove
nothing."""
_SHOWN = 4


def detect(facts: Facts) -> List[Finding]:
    suspension = facts.suspension
    if suspension is None or suspension.suspender is None or not suspension.blocking:
        return []
    explained = {thread_node(w.thread) for w in facts.walkers if w.stuck}
    for root in [
        *explained,
        *(n for c in facts.graph.cycles() for n in c),
        *(k.node for k in facts.locks if k.owner_gone),
    ]:
        explained.add(root)
        explained.update(facts.graph.reaching(root))
    open_ones = [t for t in suspension.blocking if thread_node(t) not in explained]
    if len(open_ones) < len(suspension.blocking):
        return []
    if crash_dump.waiter(facts) in suspension.blocking:
        return []  # not-a-hang tells of it
    suspender = suspension.suspender
    blocked = [t for t in open_ones if _blocked(facts, t)]
    proved = bool(blocked) and suspension.grade == "proved"
    evidence: List[Evidence] = [
        Evidence(f"thread {suspender.index} suspends the runtime", None, None, suspension.how, suspension.grade)
    ]
    records = facts.managed.by_tid() if facts.managed else {}
    for thread in open_ones[:16]:
        record = records.get((facts.process.own_tid(thread) or 0) & 0xFFFFFFFF)
        if record is not None:
            evidence.append(
                Evidence(
                    f"thread {thread.index} is in cooperative mode",
                    f"0x{record.mode_address:x}",
                    "1",
                    "m_fPreemptiveGCDisabled of its thread object",
                    "proved",
                    f"memory read -s4 -fd -c1 0x{record.mode_address:x}",
                    "1",
                )
            )
    blocking, waiting = wording.thread_words(open_ones), suspension.waiting
    mode = f"which {'is' if len(open_ones) == 1 else 'are'} in cooperative mode"
    summary = [
        f"{wording.tid_words(suspender).capitalize()} is suspending the runtime and waits for {blocking}, {mode}."
    ]
    for thread in blocked[:_SHOWN]:
        wait = facts.wait_of(thread)
        doing = f"is blocked in a system call ({wait.call.kind}) in that mode" if wait is not None else "is blocked"
        summary.append(f"{wording.person(facts, thread)} {doing}{wording.place(facts, thread)}.")
        if wait is not None:
            how = f"{wait.call.how}; its Thread says cooperative mode, in which a suspension waits for it"
            evidence.append(Evidence(f"thread {thread.index} is in a system call", None, None, how, "proved"))
    others = sorted((t for t in open_ones if t not in blocked), key=lambda t: (_waits_for_a_lock(facts, t), t.index))
    for thread in others[:_SHOWN]:
        summary += _why(facts, thread)
    if waiting:
        verb = "waits" if len(waiting) == 1 else "wait"
        summary.append(f"{wording.thread_words(waiting).capitalize()} {verb} for it to end.")
    places = resource_parts(facts, [], {}, blocked) if proved else ()
    return [
        Finding(
            id=KIND,
            kind=KIND,
            confidence="proved" if proved else "corroborated",
            title=_title(open_ones, blocked),
            observed=tuple(summary),
            therefore=("Until those threads reach a safe point, no managed code runs.",)
            if not proved
            else (
                "A thread in a system call reaches no safe point, so the suspension waits as long as the call does.",
            ),
            consistent_with=(
                "A thread in a long stretch of code without a safe point.",
                "A snapshot in the first moments of a suspension.",
            )
            if not proved
            else (
                "A call into native code that is made without leaving cooperative mode (SuppressGCTransition) and blocks.",
                "Native code of the runtime or a profiler that blocks in cooperative mode.",
            ),
            not_established=(
                "That the suspension will not end: one snapshot has no durations.",
                "What keeps those threads there.",
            )
            if not proved
            else ("Whether what the system call waits for will come from outside the process.",),
            evidence=tuple(evidence),
            repro=tuple(wording.repro_of(evidence)),
            status="hang" if proved else "suspicious",
            sentence=BLOCKED_SENTENCE if proved else None,
            summary=tuple(summary),
            actors=(
                Actor(suspender.index, "suspender"),
                *(Actor(t.index, "blocking") for t in open_ones),
                *(Actor(t.index, "waiter") for t in waiting),
            ),
            signature_parts=("suspension", *places) if places or not proved else (),
        )
    ]


def _waits_for_a_lock(facts: Facts, thread: Thread) -> bool:
    """Such a thread goes on when another one does, so those that run are told before it."""
    wait = facts.wait_of(thread)
    return wait is not None and wait.lock is not None


def _why(facts: Facts, thread: Thread) -> List[str]:
    """What keeps a thread in cooperative mode that is in no system call that may last: a lock of the runtime, or its own code."""
    wait = facts.wait_of(thread)
    if wait is None:
        return []
    if wait.lock is not None:
        lock = facts.lock_at(wait.lock.address)
        label = lock.label if lock is not None else f"lock 0x{wait.lock.address:x}"
        return [f"{wording.person(facts, thread)} waits for {label} in that mode{wording.place(facts, thread)}."]
    if wait.call.inside is False:
        return [f"{wording.person(facts, thread)} is running{wording.place(facts, thread)}."]
    return []


def _blocked(facts: Facts, thread: Thread) -> bool:
    """It is in a system call that does not end by itself: seen by the instruction or by the kernel's own register."""
    wait = facts.wait_of(thread)
    return wait is not None and wait.call.inside is True and wait.call.kind in _BLOCKING and not wait.timed


def _title(open_ones: Sequence[Thread], blocked: Sequence[Thread]) -> str:
    if blocked:
        who = wording.plural(len(blocked), "thread that is", "threads that are")
        return f"A suspension of the runtime waits for {who} blocked in a system call, in cooperative mode."
    return f"A suspension of the runtime waits for {wording.plural(len(open_ones), 'thread')} in cooperative mode."


DETECTOR = Detector(
    KIND,
    80,
    {"hang": BLOCKED_SENTENCE, "suspicious": SENTENCE},
    "hang (10) where a thread is blocked in a system call; suspicious (11), or told with its root",
    detect,
)
