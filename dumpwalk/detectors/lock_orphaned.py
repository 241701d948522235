"""lock-orphaned: the owner of a lock is no thread of the process any more, and others wait."""

from __future__ import annotations

from typing import List, Tuple

from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.claims.model import Actor, Finding
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.signature import resource_parts

KIND = "lock-orphaned"
SENTENCE = "threads wait for a lock whose owner thread does not exist any more"


def detect(facts: Facts) -> List[Finding]:
    if not facts.process.threads_complete or any(t.tid_source == "synthetic" for t in facts.process.threads):
        return []  # a thread that is not in the list may simply not be in the dump
    return [_finding(facts, k) for k in facts.locks if k.owner_gone and k.waiters]


def _finding(facts: Facts, lock: LockFact) -> Finding:
    waiting = [w.thread for w in lock.waiters]
    who, why = _gone(facts, lock)
    evidence = [
        *wording.holder_evidence(lock, None, f"the owner of {lock.label} is {who}, no thread of this process"),
        *wording.waiters_evidence(facts, lock),
    ]
    proved = all(h.owner.grade == "proved" for h in lock.holders)
    timed = [w.thread for w in lock.waiters if w.timed]
    forever = "for ever" if not timed else "until its time-out" if len(waiting) == 1 else "some of them with a time-out"
    return Finding(
        id=f"{KIND}-0x{lock.state.address:x}",
        kind=KIND,
        confidence="proved" if proved else "corroborated",
        title=f"{wording.plural(len(waiting), 'thread waits', 'threads wait')} for a lock whose owner does not exist any more.",
        observed=(
            f"{_first(lock.label)} is locked and names {who} as its owner.",
            why,
            f"{wording.thread_words(waiting).capitalize()} {'waits' if len(waiting) == 1 else 'wait'} for it.",
        ),
        therefore=("Only the owner may release it, so the waiters wait for ever.",),
        consistent_with=("A thread that ended or was killed while it held the lock.",),
        not_established=("Why the owner ended; its stack is gone.",),
        evidence=tuple(evidence),
        repro=(*wording.repro_of(evidence), "thread list"),
        status="hang" if len(timed) < len(waiting) else "suspicious",
        summary=(
            f"{_first(lock.label)} is held by {who}, which is no thread of the process any more.",
            f"{wording.thread_words(waiting).capitalize()} {'waits' if len(waiting) == 1 else 'wait'} for it, {forever}"
            f"{wording.place(facts, waiting[0])}.",
        ),
        actors=tuple(Actor(t.index, "waiter") for t in waiting),
        locks=(f"0x{lock.state.address:x}",),
        signature_parts=tuple(resource_parts(facts, [lock.node], {lock.node: lock}, waiting)),
    )


def _first(label: str) -> str:
    return label[0].upper() + label[1:]


def _gone(facts: Facts, lock: LockFact) -> Tuple[str, str]:
    """(the owner in words, how it is known that it is gone)."""
    owner = lock.holders[0].owner
    listed = f"None of the {len(facts.process.threads)} threads has that tid, and the thread list is complete."
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
    {"hang": SENTENCE, "suspicious": SENTENCE},
    "hang (10); suspicious (11) where every waiter gives up by itself",
    detect,
)
