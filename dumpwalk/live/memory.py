"""The memory of a live process as an analysis sees it: the snapshot first; what that lacks is read now, and noted."""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Extent, Memory
from dumpwalk.core.recording import Recording
from dumpwalk.live.maps import Mapping

_PAGE = 4096
_IN_MEMORY = 3 << 62
"""Bits 63 (present) and 62 (swapped out) of an entry: Documentation/admin-guide/mm/pagemap.rst."""
_ENTRIES = 1 << 15


class ProcessMemory:
    """/proc/PID/mem. Opening it needs the right to trace the process; reads work whether it runs or stands."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._file = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def read(self, address: int, size: int) -> Optional[bytes]:
        """All of it, or None."""
        if size <= 0 or not 0 <= address <= (1 << 63) - 1 - size:
            return None
        try:
            data = os.pread(self._file, size, address)
        except OSError:
            return None  # EIO: not mapped, or not to be read
        return data if len(data) == size else None

    def touched(self, start: int, end: int) -> Iterator[Tuple[int, int]]:
        """The runs of pages that hold something: others of an anonymous mapping read as zeros."""
        size = os.sysconf("SC_PAGE_SIZE")
        try:
            file = os.open(f"/proc/{self._pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            yield start, end
            return
        try:
            yield from self._touched(file, start // size, -(-end // size), size, start, end)
        finally:
            os.close(file)

    def _touched(self, file: int, page: int, last: int, size: int, start: int, end: int) -> Iterator[Tuple[int, int]]:
        begun: Optional[int] = None
        while page < last:
            count = min(_ENTRIES, last - page)
            try:
                data = os.pread(file, 8 * count, 8 * page)
            except OSError:
                data = b""
            if len(data) != 8 * count:
                yield max(start, (page if begun is None else begun) * size), end
                return
            for entry in struct.unpack(f"<{count}Q", data):
                if entry & _IN_MEMORY:
                    begun = page if begun is None else begun
                elif begun is not None:
                    yield max(start, begun * size), page * size
                    begun = None
                page += 1
        if begun is not None:
            yield max(start, begun * size), end

    def close(self) -> None:
        os.close(self._file)


class LiveMemory:
    """Implements memory.Memory. `late` notes what was read after the process went on: not of the moment of the snapshot."""

    def __init__(self, snapshot: Memory, process: ProcessMemory, maps: Sequence[Mapping]) -> None:
        self._snapshot, self._process = snapshot, process
        self._segments = segments_of(maps)
        self._starts = [segment.start for segment in self._segments]
        self._pages: Dict[int, bytes] = {}
        self.late = Recording()

    def read(self, address: int, size: int) -> Optional[bytes]:
        data = self._snapshot.read(address, size)
        if data is not None:
            return data
        data = self.now(address, size)
        if data is not None:
            self.late.note(address, size)
        return data

    def now(self, address: int, size: int) -> Optional[bytes]:
        """As it is at this moment, of memory that the process itself may read: /proc/PID/mem gives more, which no core holds."""
        at = address
        while at < address + size:
            run = self.captured_run(at)
            if run is None:
                return None
            at = run[1]
        return self._process.read(address, size)

    def extent(self, address: int) -> Optional[Extent]:
        found = self._snapshot.extent(address)
        if found is not None:
            return found
        page = address & -_PAGE
        if page not in self._pages:
            data = self.now(page, _PAGE)
            if data is None:
                return None
            self._pages[page] = data
        self.late.note(page, _PAGE)
        return page, page + _PAGE, self._pages[page], page

    def segments(self) -> Sequence[Segment]:
        return self._segments

    def captured_run(self, address: int) -> Optional[Tuple[int, int]]:
        """See core/memory.py."""
        index = bisect_right(self._starts, address) - 1
        found = self._segments[index] if index >= 0 else None
        return (found.start, found.end) if found is not None and found.readable and address < found.end else None

    def filled_runs(self, start: int, end: int) -> Iterator[Tuple[int, int]]:
        """See core/memory.py."""
        return self._process.touched(start, end)

    def for_search(self) -> Memory:
        """See core/memory.py: sweeps read the process as it runs; what they find is read again."""
        return _Sweep(self)


class _Sweep:
    """The same memory for sweeps, which note nothing."""

    def __init__(self, memory: LiveMemory) -> None:
        self._memory = memory

    def read(self, address: int, size: int) -> Optional[bytes]:
        return self._memory.now(address, size)

    def extent(self, address: int) -> Optional[Extent]:
        page = address & -_PAGE
        data = self._memory.now(page, _PAGE)
        return (page, page + _PAGE, data, page) if data is not None else None

    def segments(self) -> Sequence[Segment]:
        return self._memory.segments()

    def captured_run(self, address: int) -> Optional[Tuple[int, int]]:
        """See core/memory.py."""
        return self._memory.captured_run(address)

    def filled_runs(self, start: int, end: int) -> Iterator[Tuple[int, int]]:
        """See core/memory.py."""
        return self._memory.filled_runs(start, end)


def segments_of(maps: Sequence[Mapping]) -> List[Segment]:
    """All that can be read, as a core that holds all of it would list it."""
    return [
        Segment(m.start, m.end, 0, m.end - m.start if m.readable else 0, m.readable, m.writable, m.executable)
        for m in maps
    ]
