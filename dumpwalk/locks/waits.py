"""A thread's wait, with its layers, and the registers and stack words that may lead to what it waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.grade import Grade
from dumpwalk.core.memory import read_words
from dumpwalk.core.process import Process, Thread
from dumpwalk.core.vocabulary import ThreadState
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.graph import Node
from dumpwalk.locks.state import LockState, Sighting
from dumpwalk.locks.syscalls import SystemCall


@dataclass(frozen=True)
class Layer:
    """One thing that a thread waits for, as one kind of lock sees it."""

    kind: str
    """As Wait.kind."""
    word: Optional[int]
    lock: Optional[LockState]
    grade: Grade
    how: str
    target: Optional[Node] = None
    """What it waits for where that is no lock: the end of a thread, a task, an event."""
    explained: str = ""
    """Why this wait, as it is, says nothing of a hang: nobody holds what it waits for. Empty for locks and for the unknown."""
    seen: Optional[Sighting] = None
    """The register or stack word that leads to what it waits for, where that is not the system call's own argument."""
    wants: str = ""
    """Of a lock that can be held in several ways, which one: read, write, upgradeable read, upgrade."""


@dataclass(frozen=True)
class Wait:
    """One thread's wait. `lock` is None when it waits for no lock that memory confirms.

    A wait has layers: a waiter of a Monitor sleeps on a native condition variable. Its own fields are those of the outermost
    one, which is what the program waits for; `below` are the others, the innermost first.
    """

    thread: Thread
    call: SystemCall
    kind: str
    """mutex, condition, futex, sleep, poll, read, ..., or empty for a running thread."""
    word: Optional[int] = None
    """The address its system call waits on."""
    lock: Optional[LockState] = None
    is_crst: bool = False
    grade: Grade = "unresolved"
    how: str = ""
    target: Optional[Node] = None
    """What it waits for where that is no lock."""
    below: Tuple[Layer, ...] = ()
    explained: str = ""
    """As Layer.explained; any recogniser may set it (analysis/unexplained.py asks)."""
    seen: Optional[Sighting] = None
    """As Layer.seen."""
    wants: str = ""
    """As Layer.wants."""
    areas: Tuple[str, ...] = ()
    """The areas of those kinds that laid a layer over it."""

    def under(self, layer: Layer, area: str = "locks") -> Wait:
        """The same wait with one more layer, of a kind of that area, over those that are known."""
        mine = Layer(
            self.kind, self.word, self.lock, self.grade, self.how, self.target, self.explained, self.seen, self.wants
        )
        return replace(
            self,
            kind=layer.kind,
            word=layer.word if layer.word is not None else self.word,
            lock=layer.lock,
            is_crst=False,
            grade=layer.grade,
            how=layer.how,
            target=layer.target,
            below=(*self.below, mine),
            explained=layer.explained,
            areas=(*self.areas, area),
            seen=layer.seen,
            wants=layer.wants,
        )

    @property
    def node(self) -> Optional[Node]:
        """What it waits for, in the wait-for graph."""
        return Node("lock", self.lock.address) if self.lock is not None else self.target

    @property
    def timed(self) -> bool:
        """It gives up by itself: futex(2) has a time-out (the fourth argument)."""
        arguments = self.call.arguments
        return self.call.kind == "timed-wait" or (
            self.call.kind == "futex" and len(arguments) > 3 and arguments[3] != 0
        )

    @property
    def state(self) -> ThreadState:
        if self.call.inside is None:
            return "unknown"
        return "waiting" if self.call.inside else "running"


def register_candidates(
    process: Process, threads: Sequence[Thread], deep: bool
) -> Iterator[Tuple[Thread, int, str, int]]:
    """(thread, frame index, where, value) that may point at an object: frame 0's registers, then with `deep` the
    callee-saved registers of the outer frames of native code, then stack words."""
    arch = process.arch
    for thread in threads:
        for name in arch.general:
            value = thread.registers.get(name, 0)
            if value > 0xFFFF and not value & 7:
                yield thread, 0, name, value
    if not deep:
        return
    for thread in threads:
        for frame in [f for f in thread.frames() if not f.noted][1:8]:
            if frame.managed or frame.trust not in ("cfi", "unwind-info", "frame-chain"):
                continue
            for name in arch.callee_saved:
                value = frame.register(name) or 0
                if value > 0xFFFF and not value & 7:
                    yield thread, frame.index, name, value
    for thread in threads:
        sp = thread.registers.get(arch.sp)
        words = _stack_words(process, sp) if sp else ()
        for position, value in enumerate(words):
            if value > 0xFFFF and not value & 7:
                yield thread, 0, f"[{arch.sp}+0x{8 * position:x}]", value


def _stack_words(process: Process, sp: int) -> Sequence[int]:
    size = min(limits.STACK_SCAN_BYTES, 0x400)
    while size >= 64:
        words = read_words(process.memory, sp, size // 8)
        if words is not None:
            return words
        size //= 2
    return ()
