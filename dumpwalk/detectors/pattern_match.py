"""Which of the known pictures (hang_patterns.py) the stacks of a process show."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Evidence
from dumpwalk.core.names import plain
from dumpwalk.core.process import Frame, Thread
from dumpwalk.dataclass import dataclass
from dumpwalk.detectors import wording
from dumpwalk.detectors.hang_patterns import FAR, NEAR, PATTERNS, SIGNAL_FRAME, Pattern, Role
from dumpwalk.locks.lock_frames import LIBC_MODULES
from dumpwalk.unwinding.signal_frames import returns_from_handler

_DEPTH = 64
"""Frames of a stack that are compared; what a thread waits for stands among the innermost."""


@dataclass(frozen=True)
class Picture:
    """A known hang whose every role some thread plays."""

    pattern: Pattern
    players: Tuple[Tuple[Role, Tuple[Thread, ...], str], ...]
    """(role, threads, the function that shows it on the first of them)."""

    @property
    def threads(self) -> List[Thread]:
        return [thread for _, threads, _ in self.players for thread in threads]


def pictures(facts: Facts) -> List[Picture]:
    """Every row that fits, in the order of the table. Made once for one set of facts."""
    known: Optional[List[Picture]] = facts.__dict__.get("_pictures")
    if known is None:
        stacks = _Stacks(facts)
        known = [p for p in (_fits(facts, row, stacks) for row in PATTERNS) if p is not None]
        facts.__dict__["_pictures"] = known
    return known


class _Stacks:
    """The names on all stacks, and for each name the threads that have it: a process has few names and may have many threads."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.threads = {t.index: t for t in facts.process.threads}
        self.having: Dict[str, Set[int]] = {}
        self._returns: Dict[int, bool] = {}
        for thread in facts.process.threads:
            for frame in thread.frames()[:_DEPTH]:
                name = self._name(frame)
                if name:
                    self.having.setdefault(name, set()).add(thread.index)

    def names(self, index: int) -> List[str]:
        """Of one stack, innermost first; empty where a frame has no name for certain or by its code."""
        return [self._name(f) for f in self.threads[index].frames()[:_DEPTH]]

    def _name(self, frame: Frame) -> str:
        if frame.function and frame.trust != "scan" and frame.name_source != "none":
            return plain(frame.function)
        if frame.index and frame.module is not None and frame.module.name.startswith(LIBC_MODULES):
            if frame.pc not in self._returns:
                process = self.facts.process
                self._returns[frame.pc] = process.os == "linux" and returns_from_handler(process.code, frame.pc)
            return SIGNAL_FRAME if self._returns[frame.pc] else ""
        return ""

    def with_any(self, group: Sequence[str]) -> Set[int]:
        found: Set[int] = set()
        for name, threads in self.having.items():
            if _is(name, group):
                found |= threads
        return found


def _fits(facts: Facts, pattern: Pattern, stacks: _Stacks) -> Optional[Picture]:
    if facts.process.os not in pattern.systems:
        return None
    taken: Set[int] = set()
    players = []
    for role in pattern.roles:
        possible = set.intersection(*(stacks.with_any(group) for group in role.frames)) - stacks.with_any(role.without)
        found = [i for i in sorted(possible - taken) if _plays(facts, stacks.threads[i], role, stacks.names(i))]
        if len(found) < role.least:
            return None
        taken |= set(found)
        names = stacks.names(found[0])
        shown = " <- ".join(names[place] for place in _places(names, role))
        players.append((role, tuple(stacks.threads[i] for i in found), shown))
    return Picture(pattern, tuple(players))


def _plays(facts: Facts, thread: Thread, role: Role, names: Sequence[str]) -> bool:
    wait = facts.wait_of(thread)
    inside = wait.call.inside if wait is not None else None
    if (role.state == "waiting" and inside is not True) or (role.state == "running" and inside is not False):
        return False
    return bool(_places(names, role))


def _places(names: Sequence[str], role: Role) -> List[int]:
    """Where the groups stand, each further out than the one before; empty where one lacks."""
    found: List[int] = []
    at = 0
    for group in role.frames:
        end = len(names) if not found or group[0] == FAR else at + NEAR
        place = next((i for i in range(at, min(end, len(names))) if names[i] and _is(names[i], group)), None)
        if place is None:
            return []
        found.append(place)
        at = place + 1
    return found


def _is(name: str, group: Sequence[str]) -> bool:
    return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in group)


def evidence(picture: Picture) -> List[Evidence]:
    """One claim for each role: who plays it, and the functions on the stack of the first of them."""
    return [
        Evidence(line, None, None, f"thread {threads[0].index}: {shown}", "inferred")
        for line, (_, threads, shown) in zip(lines(picture), picture.players)
    ]


def lines(picture: Picture) -> List[str]:
    """`threads 11-13 wait for a method to be compiled`, for each role."""
    return [
        f"{wording.thread_words(threads)} {role.does if len(threads) == 1 else _many(role.does)}"
        for role, threads, _ in picture.players
    ]


def _many(does: str) -> str:
    """`waits for x` of several threads: `wait for x`."""
    verb, _, rest = does.partition(" ")
    plural = {"is": "are", "flushes": "flush"}.get(verb, verb[:-1] if verb.endswith("s") else verb)
    return f"{plural} {rest}".strip()
