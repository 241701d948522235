"""stacks-only: what the stacks alone show when the dump lacks the memory that would prove or refute it.

A `--normal` or `--triage` dump holds stacks, not the heap: the lock and the cache are not in it. How many threads wait on
one word, and who else is in the code that takes that lock, still is; it proves nothing.
"""

from __future__ import annotations

from typing import Dict, List, Sequence

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.unexplained import NOT_CAPTURED
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.core.names import plain, plural
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.locks.lock_frames import ENTER_NAMES, first_own_frame
from dumpwalk.locks.waits import Wait

KIND = "stacks-only"
_GROUPS = 4
"""Words that are told, those with the most waiters; the coverage counts all."""
_SHOWN = 3
"""Waiters of a word whose register is shown; all are named, and `threads --waiting-on` lists them."""


def detect(facts: Facts) -> List[Finding]:
    if facts.cache is not None and facts.cache.walk.walked == "complete":
        return []
    groups = _groups(facts)
    told = {id(w.thread) for waits in groups for w in waits}
    walkers = [w for w in facts.walkers if id(w.thread) not in told]
    if not groups and not walkers:
        return []
    observed = [_waiting(waits) for waits in groups] + [_walking(w) for w in walkers]
    evidence = [_place(facts, w) for w in walkers] + [e for waits in groups for e in _waiters(facts, waits)]
    asked = [f"Their stacks: `dumpwalk threads CORE --waiting-on 0x{waits[0].word or 0:x}`." for waits in groups[:1]]
    inside = [w.thread for w in walkers]
    return [
        Finding(
            id=KIND,
            kind=KIND,
            confidence="inferred",
            title=f"{_title(groups, inside)}; {_lacking(facts, groups)}.",
            observed=tuple(observed),
            therefore=(),
            consistent_with=_consistent(groups, inside),
            not_established=tuple(_open_questions(groups, inside)),
            evidence=tuple(evidence),
            repro=(*wording.repro_of(evidence), *_backtraces([*inside, *[waits[0].thread for waits in groups]])),
            status="inconclusive",
            summary=(*observed, *asked, *_need(facts)),
            actors=(
                *(Actor(t.index, "spinner") for t in inside),
                *(Actor(w.thread.index, "waiter") for waits in groups for w in waits),
            ),
        )
    ]


def _groups(facts: Facts) -> List[List[Wait]]:
    """Waits on one word that is not in the dump, two or more each, the most first."""
    groups: Dict[int, List[Wait]] = {}
    for wait in (w for g in facts.unsettled if g.reason == NOT_CAPTURED for w in g.waits):
        if wait.word is not None:
            groups.setdefault(wait.word & ~0x7, []).append(wait)
    shared = sorted((g for g in groups.values() if len(g) > 1), key=lambda g: (-len(g), g[0].word or 0))
    return shared[:_GROUPS]


def _enters(waits: Sequence[Wait]) -> bool:
    """All of them came through a function that enters a lock."""
    return all(any(f.function and plain(f.function) in ENTER_NAMES for f in wait.thread.frames()[:8]) for wait in waits)


def _title(groups: Sequence[Sequence[Wait]], inside: Sequence[Thread]) -> str:
    if not groups:
        many = plural(len(inside), "thread is", "threads are")
        return f"{many[0].upper()}{many[1:]} in a chain walk"
    waits = groups[0]
    locked = _enters(waits)
    title = f"{len(waits)} threads wait {'for one lock' if locked else 'on one word of memory'}"
    if inside:
        verb = "is" if len(inside) == 1 else "are"
        where = "the code that takes it" if locked else "a chain walk"
        title += f", and {wording.thread_words(inside)} {verb} in {where}"
    return title


def _lacking(facts: Facts, groups: Sequence[Sequence[Wait]]) -> str:
    """What could not be read. That the dump lacks a word was tried; of the cache it is said only where that was seen."""
    if facts.runtime is None:
        return "the memory that they wait on is not in the dump"
    if facts.cache is not None:
        cache = "part of the dispatch cache is not in the dump"
    elif facts.location.pointer_not_captured:
        cache = "the dispatch cache is not in the dump"
    else:
        cache = "the dispatch cache was not found in what the dump holds"
    return f"what they wait on is not in the dump, and {cache}" if groups else cache


def _need(facts: Facts) -> List[str]:
    core = facts.process.corefile
    if core is not None and core.kind in ("full", "heap"):
        return []
    return ["A heap or full dump (createdump --withheap or --full) would hold the lock and the cache."]


def _waiting(waits: Sequence[Wait]) -> str:
    own = (first_own_frame(w.thread.frames()) for w in waits)
    names = sorted({plain(f.function) for f in own if f is not None and f.function})
    where = f", entered from {' and '.join(names)}" if 0 < len(names) < 4 else ""
    who = wording.thread_words([w.thread for w in waits]).capitalize()
    return f"{who} wait on one word of memory, 0x{waits[0].word or 0:x}{where}."


def _walking(walker: Walker) -> str:
    return f"{wording.tid_words(walker.thread).capitalize()} is running in {walker.function or 'a chain walk'}."


def _waiters(facts: Facts, waits: Sequence[Wait]) -> List[Evidence]:
    """The register of each one's system call that holds the word's address."""
    argument = facts.process.arch.syscall_arguments[0]
    found = []
    for wait in waits[:_SHOWN]:
        what = f"thread {wait.thread.index} waits on 0x{wait.word or 0:x}"
        value = wait.thread.registers.get(argument, 0)
        found.append(
            wording.register_evidence(
                wait.thread, argument, value, what, "1st argument of futex(2); the word is not in the dump"
            )
        )
    return found


def _place(facts: Facts, walker: Walker) -> Evidence:
    register = facts.process.arch.pc
    how = "the function at its program counter, by symbol" if walker.function_source == "symbol" else "by its code"
    value = walker.thread.registers.get(register, 0)
    return wording.register_evidence(walker.thread, register, value, _walking(walker)[:-1], how, "inferred")


def _backtraces(threads: Sequence[Thread]) -> List[str]:
    return [line for t in threads if t.in_debugger for line in (f"thread select {t.index}", "thread backtrace")]


def _consistent(groups: Sequence[Sequence[Wait]], inside: Sequence[Thread]) -> tuple:
    if inside:
        return ("A cyclic chain of the dispatch cache (dispatch-cache-cycle).", "A lock that is only busy.")
    if _enters(groups[0]):
        return ("A lock that is held for ever, or one that is only busy.",)
    return ("A lock that is held for ever, or one that is only busy.", "Idle threads that wait for work.")


def _open_questions(groups: Sequence[Sequence[Wait]], inside: Sequence[Thread]) -> List[str]:
    asked = ["Who holds what they wait for, if anybody does."] if groups else []
    return asked + (["Whether any chain is cyclic."] if inside else [])


DETECTOR = Detector(
    KIND, 90, {"inconclusive": "threads wait for a lock whose memory is not in the dump"}, "inconclusive (12)", detect
)
