"""lock-lost-wakeup: a PAL critical section with waiters, no owner, and nobody awakened.

Source: src/coreclr/pal/src/sync/cs.cpp: a release with waiters sets the awakened bit and signals the condition variable; all
three clear at once is a state that should not last. A free pthread mutex with a thread still in futex is a normal
hand-over and is no finding.
"""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.signature import lock_parts

KIND = "lock-lost-wakeup"


def detect(facts: Facts) -> List[Finding]:
    return [_finding(facts, k) for k in facts.locks if _lost(k)]


def _lost(lock: LockFact) -> bool:
    state = lock.state
    if state.implementation != "pal-critical-section" or state.locked or state.awakened or state.owner_tid:
        return False
    return bool(state.waiters) and len(lock.waiters) > 0


def _finding(facts: Facts, lock: LockFact) -> Finding:
    waiting = [w.thread for w in lock.waiters]
    word = lock.state.words[0]
    evidence: List[Evidence] = [
        Evidence(
            f"{lock.label} is free with {wording.plural(lock.state.waiters or 0, 'waiter')} and no awakened bit",
            f"0x{word.address:x}",
            str(word.value),
            "LockCount: bit 0 locked, bit 1 awakened, the rest waiters",
            "proved",
            f"memory read -s4 -fd -c1 0x{word.address:x}",
            str(word.value),
        ),
        *wording.waiters_evidence(facts, lock),
    ]
    return Finding(
        id=f"{KIND}-0x{lock.state.address:x}",
        kind=KIND,
        confidence="proved",
        title=f"{wording.plural(len(waiting), 'thread waits', 'threads wait')} for a lock that nobody holds.",
        observed=(
            f"{lock.label} is not locked, has no owner, and counts {wording.plural(lock.state.waiters or 0, 'waiter')}.",
        ),
        therefore=("Unless a wake-up is on its way, the waiters stay.",),
        consistent_with=(
            "A wake-up that was lost (glibc bug 25847 is one known way; dotnet/runtime issue 43312).",
            "A snapshot between a release and the wake-up of a waiter.",
        ),
        not_established=("Whether a wake-up is still to come: one snapshot has no durations.",),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="suspicious",
        summary=(
            f"{wording.thread_words(waiting).capitalize()} {'waits' if len(waiting) == 1 else 'wait'} for {lock.label}, "
            "which is free.",
        ),
        actors=tuple(Actor(t.index, "waiter") for t in waiting),
        locks=(f"0x{lock.state.address:x}",),
        signature_parts=tuple(lock_parts([lock], waiting, facts)),
    )


DETECTOR = Detector(
    KIND, 60, {"suspicious": "threads wait for a free lock and nobody was awakened"}, "suspicious (11)", detect
)
