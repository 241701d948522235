"""Which of a process's memory was read: recorded while it is read, by page, so that it can be kept.

A recording tells nothing of what a reader made of the bytes. Sweeps over much of memory read through `for_search`
(core/memory.py), which records nothing; what they find is read again by who believes it.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Extent, Memory, captured_run, filled_runs, for_search

PAGE = 0x1000
_SHIFT = 12
_NAMED = 1024
"""Bytes of a read that may be for a name; longer ones are of stacks, tables and pages, whatever stands in them."""

Watch = Callable[[Memory], Memory]
"""Puts a recording between a reader and the memory that it reads."""


def unwatched(memory: Memory) -> Memory:
    """Nothing is recorded."""
    return memory


class Recording:
    """Pages that were read. Bounded: what is read beyond limits.EVIDENCE_BYTES is not noted, and `full` says so.

    With `exact` the words of short reads are noted too: what else stands in their pages was nobody's business.
    """

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact
        self._pages: Set[int] = set()
        self._words: Dict[int, int] = {}
        """Page to a bit for each of its 512 words."""
        self._room = limits.EVIDENCE_BYTES >> _SHIFT
        self.full = False

    def watch(self, memory: Memory) -> Memory:
        """The same memory, whose reads are noted here."""
        return RecordingMemory(memory, self)

    def note(self, address: int, size: int) -> None:
        """These bytes were read."""
        self.keep(address, size)
        if self.exact and size <= _NAMED:
            self.mark(address, size)

    def mark(self, address: int, size: int) -> None:
        """These bytes, of pages that are noted, were read for what they say."""
        word, last = address >> 3, (address + size - 1) >> 3
        while word <= last:
            page = word >> 9
            stop = min(last, (page << 9) + 511)
            bits = ((1 << (stop - word + 1)) - 1) << (word & 511)
            self._words[page] = self._words.get(page, 0) | bits
            word = stop + 1

    def marked(self, address: int) -> bool:
        """Was the word that holds this address read, and not only its page?"""
        return bool(self._words.get(address >> _SHIFT, 0) >> ((address >> 3) & 511) & 1)

    def keep(self, address: int, size: int) -> None:
        """The pages of these bytes shall be kept."""
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

    @property
    def mark(self) -> Optional[Callable[[int, int], None]]:
        """See core.memory.marker."""
        return self._recording.mark if self._recording.exact else None

    def read_around(self, address: int, size: int) -> Optional[bytes]:
        """See the function of this name."""
        data = self._memory.read(address, size)
        if data is not None:
            self._recording.keep(address, size)
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
