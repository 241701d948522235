"""stacks-only: what the stacks alone show when the dump lacks the memory that would prove or refute it.

A `--normal` or `--triage` dump holds stacks, not the heap: the lock and the cache are not in it. How many threads wait on
one word, and who else is in the code that takes that lock, still is; it proves nothing.
"""

from __future__ import annotations

from typing import Dict, List

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.unexplained import NOT_CAPTURED
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.core.names import plain
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.locks.lock_frames import first_own_frame
from dumpwalk.locks.waits import Wait

KIND = "stacks-only"


def detect(facts: Facts) -> List[Finding]:
    groups: Dict[int, List[Wait]] = {}
    uncaptured = [w for g in facts.unsettled if g.reason == NOT_CAPTURED for w in g.waits]
    for wait in uncaptured + [w for w in _pal_waits(facts) if w not in uncaptured]:
        assert wait.word is not None
        groups.setdefault(wait.word & ~0x7, []).append(wait)
    merged = [waits for waits in groups.values() if len(waits) > 1]
    walkers = [w for w in facts.walkers if w.thread not in [x.thread for g in merged for x in g]]
    if facts.cache is not None and facts.cache.walk.walked == "complete":
        return []
    if not merged and not walkers:
        return []
    waits = max(merged, key=len) if merged else []
    waiting = [w.thread for w in waits]
    names = sorted(
        {plain(f.function) for f in (first_own_frame(t.frames()) for t in waiting) if f is not None and f.function}
    )
    inside = [w.thread for w in walkers]
    observed = []
    if waiting:
        where = f", entered from {' and '.join(names)}" if names else ""
        observed.append(
            f"{wording.thread_words(waiting).capitalize()} wait on one word, 0x{waits[0].word or 0:x}{where}."
        )
    for walker in walkers:
        what = walker.function or "a chain walk"
        observed.append(f"{wording.tid_words(walker.thread).capitalize()} is running in {what}.")
    need = "a heap or full dump (createdump --withheap or --full) would hold the lock and the cache"
    evidence = [Evidence(line, None, None, "stacks and registers only", "inferred") for line in observed]
    title = (
        f"{wording.plural(len(waiting), 'thread waits', 'threads wait')} for one lock"
        if waiting
        else "A thread is in a chain walk"
    )
    if inside:
        title += (
            f", and {wording.thread_words(inside)} {'is' if len(inside) == 1 else 'are'} in the code that takes it"
            if waiting
            else ""
        )
    return [
        Finding(
            id=KIND,
            kind=KIND,
            confidence="inferred",
            title=f"{title}; the dump does not hold the memory that would tell more.",
            observed=tuple(observed),
            therefore=(),
            consistent_with=(
                "A cyclic chain of the dispatch cache (dispatch-cache-cycle).",
                "A lock that is only busy.",
            )
            if inside
            else ("A lock that is held for ever, or one that is only busy.",),
            not_established=("Who holds the lock, and whether any chain is cyclic.",),
            evidence=tuple(evidence),
            repro=tuple(f"thread backtrace {t.index}" for t in [*inside, *waiting[:1]])
            and tuple(
                line for t in [*inside, *waiting[:1]] for line in (f"thread select {t.index}", "thread backtrace")
            ),
            status="inconclusive",
            summary=(*observed, need[0].upper() + need[1:] + "."),
            actors=(*(Actor(t.index, "spinner") for t in inside), *(Actor(t.index, "waiter") for t in waiting)),
        )
    ]


def _pal_waits(facts: Facts) -> List[Wait]:
    """Condition waits whose word is not captured and whose stack goes through a lock's Enter."""
    from dumpwalk.locks.lock_frames import ENTER_NAMES

    found = []
    for wait in facts.waits:
        if wait.lock is not None or wait.kind != "condition" or wait.word is None:
            continue
        if facts.process.memory.read(wait.word, 4) is not None:
            continue
        if any(f.function and plain(f.function) in ENTER_NAMES for f in wait.thread.frames()[:8]):
            found.append(wait)
    return found


DETECTOR = Detector(
    KIND, 90, {"inconclusive": "threads wait for a lock whose memory is not in the dump"}, "inconclusive (12)", detect
)
