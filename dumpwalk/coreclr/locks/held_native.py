"""Native locks held by threads of the process, whoever waits: one search of writable memory for the words that name an owner.

A word is believed to be an owner's only by what is around it: all words of the lock's struct agree (locks/held.py, and the
PAL's critical section), and beside that a Crst's flags word stands behind it, or the lock is a variable of a module, or its
owner's own stack has its address. What only the struct says is told as inferred. Memory below a stack pointer is left out: what
a function that has returned left there is no lock any more.

A Crst's own holder object keeps its address in the frame of the function that entered it (CrstHolder, src/coreclr/vm/crst.h), so
the frame around that word tells who took it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.grade import Grade
from dumpwalk.core.memory import Memory, for_search, read_words
from dumpwalk.core.names import plain
from dumpwalk.core.process import Frame, Process, Thread
from dumpwalk.core.thread_stack import stack_end
from dumpwalk.core.word_search import WordSearch, find_words
from dumpwalk.coreclr.layouts import Layout
from dumpwalk.coreclr.locks import crst, pal_held
from dumpwalk.dataclass import dataclass
from dumpwalk.locks import held
from dumpwalk.locks.lock_frames import is_lock_frame
from dumpwalk.locks.state import LockState

_MUSL_WAITERS = 0x80000000
_RED_ZONE = 128
"""Bytes below the stack pointer that a leaf function may use (System V ABI of x86-64)."""
_PAL_OWNER = 0x10
_DEEPEST = 256
"""Times that one critical section is entered by its owner; the runtime's own are entered a few times."""
_IMAGE_BYTES = 512 << 20
"""A module that claims more is listed with the span of several mappings: what lies in it need not be its variable."""


@dataclass
class HeldNative:
    """One native lock and what shows that it is one."""

    state: LockState
    thread: Thread
    is_crst: bool
    grade: Grade
    facts: List[str]
    taken_in: Optional[Frame] = None
    """The frame of its owner that holds the lock's address."""


@dataclass
class NativeSearch:
    locks: List[HeldNative] = field(default_factory=list)
    words: WordSearch = field(default_factory=WordSearch)


def find_held(process: Process, layouts: Sequence[Layout], libc: Optional[str], most_bytes: int) -> NativeSearch:
    """Every native lock that names a thread of the process as its owner. Never raises on damaged memory."""
    position = process.numbering.position
    musl = libc == "musl"
    numbers: Set[int] = set(position)
    if musl:
        numbers |= {number | _MUSL_WAITERS for number in position}
    words = find_words(process.memory, numbers, most_bytes, limits.HELD_WORDS, misaligned=musl)
    found = NativeSearch(words=words)
    stacks = _Stacks(process)
    tried = for_search(process.memory)
    kinds = held.readers(process.os, libc)
    pal_rows = [row for row in layouts if row.lock.startswith("pal")]
    seen: Set[int] = set()
    for address, number in words.hits:
        tid = number & ~_MUSL_WAITERS if musl else number

        def lock_in(memory: Memory, address: int = address, tid: int = tid) -> Optional[LockState]:
            state = held.held_at(memory, address, tid, kinds)
            state = state or _critical_section(process, memory, address, tid, pal_rows)
            return state or pal_held.mutex_at(process, memory, address, tid)

        state = lock_in(tried) and lock_in(process.memory)  # most are mere numbers
        if state is None or state.address in seen or stacks.dead(state.address):
            continue
        seen.add(state.address)
        found.locks.append(_judged(process, layouts, stacks, state, process.threads[position[tid]]))
    found.locks.sort(key=lambda lock: (lock.thread.index, lock.state.address))
    return found


def _critical_section(
    process: Process, memory: Memory, word: int, tid: int, rows: Sequence[Layout]
) -> Optional[LockState]:
    """A PAL critical section that is held: LockCount's first bit, a depth, and a state of readiness agree."""
    for row in rows:
        address = word - _PAL_OWNER
        if address <= 0 or address % 8:
            return None
        state = crst.read_lock(memory, address, row)
        if state is None or not state.locked or state.owner_tid != tid:
            continue
        if not 0 < (state.recursion or 0) <= _DEEPEST or (state.waiters or 0) > len(process.threads):
            continue
        if crst.crst_flags(memory, address, row) is not None or _module_of(process, address) is not None:
            return state
    return None


def _judged(
    process: Process, layouts: Sequence[Layout], stacks: _Stacks, state: LockState, thread: Thread
) -> HeldNative:
    facts = ["all words of its struct agree"]
    is_crst = False
    if state.kind is None:
        state, is_crst = crst.sized(process.memory, layouts, state)
    if is_crst:
        facts.append("a Crst's flags word stands behind it")
    if state.implementation in ("apple-mutex", "pal-mutex"):
        facts.append("its signature" if state.implementation == "apple-mutex" else "its process and thread agree")
    if state.implementation == "musl-mutex":
        facts.append("its owner's list of mutexes leads to it")
    module = _module_of(process, state.address)
    if module is not None:
        facts.append(f"it is a variable of {module}")
    where = stacks.naming(thread, state.address)
    if where is not None:
        facts.append("its owner's stack has its address")
    grade: Grade = "proved" if is_crst else ("corroborated" if len(facts) > 1 else "inferred")
    if grade == "proved" and not process.numbering.shown:
        grade = "corroborated"
    return HeldNative(state, thread, is_crst, grade, facts, stacks.frame_at(thread, where) if where else None)


def _module_of(process: Process, address: int) -> Optional[str]:
    module = process.module_at(address)
    if module is None or (module.end or 0) - (module.base or 0) > _IMAGE_BYTES:
        return None
    return module.name


class _Stacks:
    """Which memory is a thread's stack, alive or left over, and who keeps an address there."""

    def __init__(self, process: Process) -> None:
        self._process = process
        sp = process.arch.sp
        self._pointers = sorted(t.registers.get(sp, 0) for t in process.threads if t.registers.get(sp, 0))
        self._segments = sorted((s.start, s.end) for s in process.regions)
        self._words: Dict[int, Dict[int, int]] = {}

    def dead(self, address: int) -> bool:
        """It lies below the stack pointer of the thread whose stack it is on: no other pointer of a thread lies between the
        segment's begin and it, and one lies above it in the same segment."""
        at = bisect_right(self._segments, (address, 1 << 64)) - 1
        if at < 0 or address >= self._segments[at][1]:
            return False
        start, end = self._segments[at]
        place = bisect_right(self._pointers, address + _RED_ZONE)
        above = place < len(self._pointers) and self._pointers[place] < end
        below = place > 0 and self._pointers[place - 1] >= start
        return above and not below

    def naming(self, thread: Thread, address: int) -> Optional[int]:
        """The word of a thread's living stack that holds an address; the innermost one."""
        words = self._words.get(thread.index)
        if words is None:
            words = self._words[thread.index] = dict(reversed(list(_stack(self._process, thread))))
        return words.get(address)

    def frame_at(self, thread: Thread, word: int) -> Optional[Frame]:
        """The innermost frame of a named function, no lock's own, whose part of the stack holds a word."""
        frames = [f for f in thread.frames() if f.sp is not None and not f.noted]
        for frame, outer in zip(frames, frames[1:]):
            if (frame.sp or 0) <= word < (outer.sp or 0):
                return frame if frame.function and not is_lock_frame(frame) else None
        return None


def _stack(process: Process, thread: Thread) -> Iterator[Tuple[int, int]]:
    """(value, address) of the words of a living stack, from its pointer up."""
    at = thread.registers.get(process.arch.sp, 0)
    end = stack_end(process, thread)
    while at and at % 8 == 0 and at < end:
        size = min(end, (at | 0xFFF) + 1) - at
        words = read_words(process.memory, at, size // 8)
        if words is None:
            return
        for index, value in enumerate(words):
            if value > 0xFFFF:
                yield value, at + 8 * index
        at += size


def taken_in(lock: HeldNative) -> str:
    """`CrstHolder's frame` in words, or empty."""
    frame = lock.taken_in
    return plain(frame.function) if frame is not None and frame.function else ""
