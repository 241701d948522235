"""The process's memory: bytes, or None for "not captured". Nothing here raises on a bad address.

`FileMemory` reads a core file's segments itself: several times faster than a debugger's ReadMemory, the same answers, and
no address masks (lldb 19 and later cannot read createdump's regions above the 47-bit limit of arm64).
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from bisect import bisect_right
from typing import Callable, Dict, Iterator, List, Optional, Protocol, Sequence, Tuple, Union

from dumpwalk.core.corefile import Segment

Buffer = Union[bytes, mmap.mmap, memoryview]
Extent = Tuple[int, int, Buffer, int]
"""(start, end, buffer, delta): captured addresses start..end-1 lie at buffer[address - delta]."""

_PAGE, _IN_PAGE = 0x1000, 0xFFF
_WORDS = 256
"""Bytes of a read that is answered from a page; longer ones are copied from the file."""
_PAGES_KEPT = 2048
"""8 MiB; then all are forgotten."""
_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")


class Memory(Protocol):
    def read(self, address: int, size: int) -> Optional[bytes]:
        """All of `size` bytes, or None when any of them was not captured."""

    def extent(self, address: int) -> Optional[Extent]:
        """The captured run that holds `address`, for loops that read many words; None when not captured."""

    def segments(self) -> Sequence[Segment]:
        """What is captured, in order of address; empty when the source cannot list it."""


def read_u64(memory: Memory, address: int) -> Optional[int]:
    data = memory.read(address, 8)
    return _U64.unpack(data)[0] if data else None


def read_u32(memory: Memory, address: int) -> Optional[int]:
    data = memory.read(address, 4)
    return _U32.unpack(data)[0] if data else None


def read_words(memory: Memory, address: int, count: int) -> Optional[Tuple[int, ...]]:
    """`count` little-endian 64-bit words, or None."""
    data = memory.read(address, 8 * count)
    return struct.unpack(f"<{count}Q", data) if data else None


def filled_runs(memory: Memory, start: int, end: int) -> Iterator[Tuple[int, int]]:
    """The parts of a captured range that hold something: holes of a sparse file, which are zeros, are left out."""
    runs = getattr(memory, "filled_runs", None)
    return runs(start, end) if runs is not None else iter([(start, end)])


def captured_run(memory: Memory, address: int) -> Optional[Tuple[int, int]]:
    """(start, end) of the captured run that holds `address`, without reading it; None when it is not captured."""
    known = getattr(memory, "captured_run", None)
    found = known(address) if known is not None else memory.extent(address)
    return None if found is None else (found[0], found[1])


def is_captured(memory: Memory, start: int, end: int) -> bool:
    """Whether all of start..end is captured, without reading it."""
    while start < end:
        run = captured_run(memory, start)
        if run is None:
            return False
        start = run[1]
    return True


def for_search(memory: Memory) -> Memory:
    """The same memory for a sweep over much of it, whose reads are not recorded. What is found by it has to be read again
    through `memory` before it is believed: only so is it kept (core/recording.py)."""
    other = getattr(memory, "for_search", None)
    found: Memory = other() if other is not None else memory
    return found


def read_around(memory: Memory, address: int, size: int) -> Optional[bytes]:
    """The same as `read`, for who takes small parts of it and says which (`marker`): a page that is read once for all."""
    other = getattr(memory, "read_around", None)
    found: Optional[bytes] = other(address, size) if other is not None else memory.read(address, size)
    return found


def marker(memory: Memory) -> Optional[Callable[[int, int], None]]:
    """What is to be told (address, size) of the parts of `read_around` that are used; None where nobody wants to know."""
    found: Optional[Callable[[int, int], None]] = getattr(memory, "mark", None)
    return found


class FileMemory:
    """A core file's captured bytes. `close()` releases them.

    `read` copies what is asked for and nothing else: a read through a mapping would bring in 64 KiB around it (Linux maps
    neighbouring pages of the page cache too), and so in time the whole file. `extent` maps, for walks of many nodes.
    Words are read a page at a time, since those that follow lie near them: 13,000 reads of a managed process need 700 pages.
    """

    def __init__(self, file: str, segments: Sequence[Segment]) -> None:
        self._segments = [s for s in segments if s.file_size > 0]
        self._starts = [s.start for s in self._segments]
        self._file = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        self._map: Optional[Buffer] = None
        self._last: Extent = (0, 0, b"", 0)
        self._pages: Dict[int, bytes] = {}

    def extent(self, address: int) -> Optional[Extent]:
        last = self._last
        if last[0] <= address < last[1]:
            return last
        segment = self._segment(address)
        if segment is None:
            return None
        if self._map is None:
            self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
        self._last = (segment.start, _captured_end(segment), self._map, segment.start - segment.offset)
        return self._last

    def read(self, address: int, size: int) -> Optional[bytes]:
        at = address & _IN_PAGE
        if 0 < size <= _WORDS and at + size <= _PAGE:
            page = self._pages.get(address - at)
            if page is None:
                page = self._page(address - at)
            if page:
                return page[at : at + size]
        return self._read(address, size)

    def _page(self, start: int) -> bytes:
        """A page's bytes, kept; empty where the dump has not all of it."""
        if len(self._pages) >= _PAGES_KEPT:
            self._pages.clear()
        page = self._pages[start] = self._read(start, _PAGE) or b""
        return page

    def _read(self, address: int, size: int) -> Optional[bytes]:
        segment = self._segment(address)
        if segment is None or size <= 0:
            return None
        room = _captured_end(segment) - address
        head = os.pread(self._file, min(size, room), segment.offset + address - segment.start)
        if len(head) == size:
            return head
        if len(head) < room:
            return None  # the file was cut while it was read
        rest = self._read(address + room, size - room)  # createdump splits one mapping into many neighbours
        return None if rest is None else head + rest

    def filled_runs(self, start: int, end: int) -> Iterator[Tuple[int, int]]:
        """See the function of this name."""
        while start < end:
            segment = self._segment(start)
            if segment is None:
                return
            stop = min(end, _captured_end(segment))
            shift = segment.start - segment.offset
            at = start - shift
            while at + shift < stop:
                at, after = _next_data(self._file, at, stop - shift)
                if at < after:
                    yield max(start, (at + shift) & ~7), after + shift
                at = after
            start = stop

    def captured_run(self, address: int) -> Optional[Tuple[int, int]]:
        """See the function of this name."""
        segment = self._segment(address)
        return None if segment is None else (segment.start, _captured_end(segment))

    def _segment(self, address: int) -> Optional[Segment]:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        segment = self._segments[index]
        return segment if address < _captured_end(segment) else None

    def segments(self) -> Sequence[Segment]:
        return self._segments

    def close(self) -> None:
        if isinstance(self._map, mmap.mmap):
            self._map.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _captured_end(segment: Segment) -> int:
    return segment.start + min(segment.file_size, segment.end - segment.start)


def _next_data(file: int, start: int, end: int) -> Tuple[int, int]:
    """The next run of a file that is not a hole, within start..end; empty at `end` when all of it is one (lseek(2))."""
    if not hasattr(os, "SEEK_DATA"):
        return start, end
    try:
        begin = os.lseek(file, start, os.SEEK_DATA)
        return min(begin, end), min(os.lseek(file, begin, os.SEEK_HOLE), end)
    except OSError as error:
        return (end, end) if error.errno == errno.ENXIO else (start, end)


class LayeredMemory:
    """The dump first; where it has nothing, read-only bytes of matched module files (code, constants)."""

    def __init__(self, layers: Sequence[Memory]) -> None:
        self._layers = list(layers)

    def read(self, address: int, size: int) -> Optional[bytes]:
        for layer in self._layers:
            data = layer.read(address, size)
            if data is not None:
                return data
        return None

    def extent(self, address: int) -> Optional[Extent]:
        for layer in self._layers:
            found = layer.extent(address)
            if found is not None:
                return found
        return None

    def segments(self) -> Sequence[Segment]:
        return self._layers[0].segments() if self._layers else []

    def captured_run(self, address: int) -> Optional[Tuple[int, int]]:
        """See the function of this name."""
        found = (captured_run(layer, address) for layer in self._layers)
        return next((run for run in found if run is not None), None)

    def for_search(self) -> Memory:
        """See the function of this name."""
        return LayeredMemory([for_search(layer) for layer in self._layers])


class BytesMemory:
    """Memory made of given pieces: module files mapped at their load address, and tests."""

    def __init__(self, pieces: Sequence[Tuple[int, bytes]]) -> None:
        self._pieces: List[Tuple[int, bytes]] = sorted(pieces)
        self._starts = [start for start, _ in self._pieces]

    def extent(self, address: int) -> Optional[Extent]:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        start, data = self._pieces[index]
        return (start, start + len(data), data, start) if address < start + len(data) else None

    def read(self, address: int, size: int) -> Optional[bytes]:
        found = self.extent(address)
        if found is None or size <= 0 or address + size > found[1]:
            return None
        return bytes(found[2][address - found[3] : address - found[3] + size])

    def segments(self) -> Sequence[Segment]:
        return [Segment(start, start + len(data), 0, len(data)) for start, data in self._pieces]
