"""lock-orphaned: the owner of a lock is no thread of the process any more, and others wait.

Proved only where nothing leaves open that the owner is there (analysis/owner_doubts.py). Where the dump leaves it open, the
finding is inconclusive and says what is missing; where the owner's number is older than the process, or all who wait have a
time-out, it is suspicious.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from dumpwalk.analysis import owner_doubts
from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.analysis.owner_doubts import absent
from dumpwalk.claims.model import Actor, Finding
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.signature import resource_parts

KIND = "lock-orphaned"
SENTENCE = "threads wait for a lock whose owner thread does not exist any more"
UNSURE_SENTENCE = "threads wait for a lock whose owner is no thread of this process"
_INHERITED_WAYS = (
    "A lock that another thread held when the process was forked, of which the child has a copy.",
    "A thread that ended while it held the lock, if the numbers have begun anew since.",
)


def detect(facts: Facts) -> List[Finding]:
    found = [
        (k, owner_doubts.unknowns(facts, k), owner_doubts.inherited(facts, k)) for k in facts.locks if absent(facts, k)
    ]
    found.sort(key=lambda f: bool(f[1]) + bool(f[1] or f[2]))  # the proved ones first
    return [
        _open(facts, lock, unknowns) if unknowns else _finding(facts, lock, inherited)
        for lock, unknowns, inherited in wording.told_in_full(found)
    ]


def _finding(facts: Facts, lock: LockFact, inherited: Optional[str]) -> Finding:
    waiting = [w.thread for w in lock.waiters]
    who, why = _gone(facts, lock)
    evidence = [
        *wording.holder_evidence(lock, None, f"the owner of {lock.label} is {who}, no thread of this process"),
        *wording.waiters_evidence(facts, lock),
    ]
    proved = all(h.owner.grade == "proved" for h in lock.holders) and inherited is None
    timed = [
        w.thread for w in lock.waiters if w.timed and w.kind != "spinlock"
    ]  # who sleeps between tries goes on trying
    who_is = "is no thread of this process" if inherited else "is no thread of the process any more"
    if timed:
        forever = ", until its time-out" if len(waiting) == 1 else ", some of them with a time-out"
    else:
        forever = "" if inherited else ", for ever"
    return Finding(
        id=f"{KIND}-0x{lock.state.address:x}",
        kind=KIND,
        confidence="proved" if proved else "corroborated",
        title=f"{wording.plural(len(waiting), 'thread waits', 'threads wait')} for a lock whose owner "
        + ("is no thread of this process." if inherited else "does not exist any more."),
        observed=(
            f"{_first(lock.label)} is locked and names {who} as its owner.",
            why,
            *((inherited,) if inherited else ()),
            f"{wording.thread_words(waiting).capitalize()} {'waits' if len(waiting) == 1 else 'wait'} for it.",
        ),
        therefore=() if inherited or timed else ("Only the owner may release it, so the waiters wait for ever.",),
        consistent_with=_INHERITED_WAYS
        if inherited
        else ("A thread that ended or was killed while it held the lock.",),
        not_established=("That nobody releases it: the thread that forked may have taken the lock itself.",)
        if inherited
        else ("Why the owner ended; its stack is gone.",),
        evidence=tuple(evidence),
        repro=(*wording.repro_of(evidence), "thread list"),
        status="hang" if len(timed) < len(waiting) and inherited is None else "suspicious",
        summary=(
            f"{_first(lock.label)} is held by {who}, which {who_is}.",
            *((inherited,) if inherited else ()),
            f"{wording.thread_words(waiting).capitalize()} {'waits' if len(waiting) == 1 else 'wait'} for it{forever}"
            f"{wording.place(facts, waiting[0])}.",
        ),
        actors=tuple(Actor(t.index, "waiter") for t in waiting),
        locks=(f"0x{lock.state.address:x}",),
        signature_parts=tuple(resource_parts(facts, [lock.node], {lock.node: lock}, waiting)),
        sentence=UNSURE_SENTENCE if inherited else None,
    )


def _open(facts: Facts, lock: LockFact, unknowns: Sequence[str]) -> Finding:
    """Nobody knows whether the owner is there."""
    waiting = [w.thread for w in lock.waiters]
    who, _ = _gone(facts, lock)
    line = (
        f"{wording.thread_words(waiting).capitalize()} {'waits' if len(waiting) == 1 else 'wait'} for {lock.label}, "
        f"which names {who} as its owner; no thread of the dump is that."
    )
    evidence = [
        *wording.holder_evidence(lock, None, f"the owner of {lock.label} is {who}, no thread of the dump"),
        *wording.waiters_evidence(facts, lock),
    ]
    return Finding(
        id=f"{KIND}-0x{lock.state.address:x}",
        kind=KIND,
        confidence="unresolved",
        title=f"{wording.plural(len(waiting), 'thread waits', 'threads wait')} for a lock whose owner is not in the dump.",
        observed=(line,),
        therefore=(),
        consistent_with=("An owner that is there and goes on.", "An owner that ended while it held the lock."),
        not_established=tuple(unknowns),
        evidence=tuple(evidence),
        repro=(*wording.repro_of(evidence), "thread list"),
        status="inconclusive",
        summary=(line, *unknowns),
        actors=tuple(Actor(t.index, "waiter") for t in waiting),
        locks=(f"0x{lock.state.address:x}",),
    )


def _first(label: str) -> str:
    return label[0].upper() + label[1:]


def _gone(facts: Facts, lock: LockFact) -> Tuple[str, str]:
    """(the owner in words, how it is known that it is gone)."""
    owner = lock.holders[0].owner
    whose = (
        "the C library's own list names no other" if facts.process.numbering.complete else "the thread list is complete"
    )
    listed = f"None of the {len(facts.process.threads)} threads has that tid, and {whose}."
    if owner.numbering == "os-tid":
        return f"tid {owner.number}", listed
    record = None
    if facts.managed is not None:
        by_address = owner.numbering == "thread-address"
        found = [r for r in facts.managed.threads if (r.address if by_address else r.managed_id) == owner.number]
        record = found[0] if found else None
    if record is not None:
        return f"managed thread {record.managed_id}", "The runtime still lists that thread, as one that has ended."
    if owner.number in (0, 0xFFFFFFFF, (1 << 64) - 1):
        return "a thread that was collected", "The owner word has the value that stands for a thread that is gone."
    name = f"managed thread {owner.number}" if owner.numbering == "managed-id" else f"Thread 0x{owner.number:x}"
    return name, "The runtime's list of threads, which is complete, has none like that."


DETECTOR = Detector(
    KIND,
    50,
    {"hang": SENTENCE, "suspicious": SENTENCE, "inconclusive": UNSURE_SENTENCE},
    "hang (10); suspicious (11) or inconclusive (12) where the dump leaves it open",
    detect,
)
