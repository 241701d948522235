"""Which of a process's memory was read: recorded while it is read, by page, so that it can be kept.

A recording tells nothing of what a reader made of the bytes. Sweeps over much of memory read through `for_search`
(core/memory.py), which records nothing; what they find is read again by who believes it.
"""

from __future__ import annotations

from typing import Callable, Iterator, List, Optional, Sequence, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Extent, Memory, captured_run, filled_runs, for_search

PAGE = 0x1000
_SHIFT = 12

Watch = Callable[[Memory], Memory]
"""Puts a recording between a reader and the memory that it reads."""


def unwatched(memory: Memory) -> Memory:
    """Nothing is recorded."""
    return memory


class Recording:
    """Pages that were read. Bounded: what is read beyond limits.EVIDENCE_BYTES is not noted, and `full` says so."""

    def __init__(self) -> None:
        self._pages: Set[int] = set()
        self._room = limits.EVIDENCE_BYTES >> _SHIFT
        self.full = False

    def watch(self, memory: Memory) -> Memory:
        """The same memory, whose reads are noted here."""
        return RecordingMemory(memory, self)

    def note(self, address: int, size: int) -> None:
        """These bytes were read."""
        first, last = address >> _SHIFT, (address + size - 1) >> _SHIFT
        if first == last:
            if first not in self._pages:
                self._add(first, 1)
        elif size > 0:
            self._add(first, last - first + 1)

    def _add(self, first: int, count: int) -> None:
        room = self._room - len(self._pages)
        if count > room:
            self.full = True
            count = max(0, room)
        self._pages.update(range(first, first + count))

    def runs(self) -> List[Tuple[int, int]]:
        """(start, end) of what was read, in order, whole pages, without those that touch."""
        found: List[Tuple[int, int]] = []
        for page in sorted(self._pages):
            start = page << _SHIFT
            if found and found[-1][1] == start:
                found[-1] = (found[-1][0], start + PAGE)
            else:
                found.append((start, start + PAGE))
        return found


class RecordingMemory:
    """Implements memory.Memory over another one. Reads that fail are not noted: what is not there cannot be kept."""

    def __init__(self, memory: Memory, recording: Recording) -> None:
        self._memory = memory
        self._recording = recording

    def read(self, address: int, size: int) -> Optional[bytes]:
        data = self._memory.read(address, size)
        if data is not None:
            self._recording.note(address, size)
        return data

    def extent(self, address: int) -> Optional[Extent]:
        """No more than the page of `address`: of a longer run it could not be told what was read."""
        found = self._memory.extent(address)
        if found is None:
            return None
        start, end, buffer, delta = found
        page = address & ~(PAGE - 1)
        self._recording.note(address, 1)
        return max(start, page), min(end, page + PAGE), buffer, delta

    def segments(self) -> Sequence[Segment]:
        return self._memory.segments()

    def filled_runs(self, start: int, end: int) -> Iterator[Tuple[int, int]]:
        return filled_runs(self._memory, start, end)

    def captured_run(self, address: int) -> Optional[Tuple[int, int]]:
        return captured_run(self._memory, address)

    def for_search(self) -> Memory:
        return for_search(self._memory)
