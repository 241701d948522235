"""lock-orphaned: the owner of a lock is no thread of the process any more, and others wait."""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.claims.model import Actor, Finding
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.signature import lock_parts

KIND = "lock-orphaned"


def detect(facts: Facts) -> List[Finding]:
    if not facts.process.threads_complete or any(t.tid_source == "synthetic" for t in facts.process.threads):
        return []  # a thread that is not in the list may simply not be in the dump
    return [_finding(facts, k) for k in facts.locks if k.owner_gone and k.waiters]


def _finding(facts: Facts, lock: LockFact) -> Finding:
    waiting = [w.thread for w in lock.waiters]
    evidence = wording.waiters_evidence(facts, lock)
    owner = wording.owner_evidence(
        lock, f"the owner of {lock.label} is tid {lock.state.owner_tid}, no thread of this process"
    )
    if owner is not None:
        evidence.insert(0, owner)
    return Finding(
        id=f"{KIND}-0x{lock.state.address:x}",
        kind=KIND,
        confidence="proved",
        title=f"{wording.plural(len(waiting), 'thread waits', 'threads wait')} for a lock whose owner does not exist any more.",
        observed=(
            f"{lock.label} is locked and names tid {lock.state.owner_tid} as its owner.",
            f"None of the {len(facts.process.threads)} threads has that tid, and the thread list is complete.",
            f"{wording.thread_words(waiting).capitalize()} wait for it.",
        ),
        therefore=("Only the owner may release it, so the waiters wait for ever.",),
        consistent_with=("A thread that ended or was killed while it held the lock.",),
        not_established=("Why the owner ended; its stack is gone.",),
        evidence=tuple(evidence),
        repro=(*wording.repro_of(evidence), "thread list"),
        status="hang",
        summary=(
            f"{lock.label} is held by tid {lock.state.owner_tid}, which is no thread of the process any more.",
            f"{wording.thread_words(waiting).capitalize()} {'waits' if len(waiting) == 1 else 'wait'} for it, for ever.",
        ),
        actors=tuple(Actor(t.index, "waiter") for t in waiting),
        locks=(f"0x{lock.state.address:x}",),
        signature_parts=tuple(lock_parts([lock], waiting, facts)),
    )


DETECTOR = Detector(
    KIND, 50, {"hang": "threads wait for a lock whose owner thread does not exist any more"}, "hang (10)", detect
)
