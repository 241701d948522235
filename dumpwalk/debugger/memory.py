"""A process's memory through lldb, for live processes and for cores whose file dumpwalk cannot read by itself.

A debugger's read costs a round trip, so whole blocks are read and kept for as long as the analysis lasts; the process is
stopped, so they stay true.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Extent, Memory, captured_run, filled_runs, for_search

BLOCK = 16 << 10
"""Bytes read at once. A bucket table is two blocks, a node's block holds its neighbours."""

BLOCKS = 4096
"""Blocks kept, the least recently used go first: 64 MiB."""

REGIONS = 200_000
"""Regions asked for. Linux allows 65,530 mappings by default (vm.max_map_count)."""

SCAN_BYTES = 4 << 30
"""Readable memory that `segments` offers to whoever searches all of it. lldb reads some 300 MB a second."""


READS_BETWEEN_CHECKS = 64
"""Reads of a few bytes take about a microsecond each, and so does a question to lldb."""


class CheckedMemory:
    """Any memory, with a question now and then whether to go on: lldb tells of a first Ctrl-C only when asked.

    `check` raises to stop the work.
    """

    def __init__(self, memory: Memory, check: Callable[[], None]) -> None:
        self._memory = memory
        self._check = check
        self._reads = 0

    def _count(self, size: int) -> None:
        self._reads += 1
        if size > BLOCK or self._reads % READS_BETWEEN_CHECKS == 0:
            self._check()

    def read(self, address: int, size: int) -> Optional[bytes]:
        self._count(size)
        return self._memory.read(address, size)

    def extent(self, address: int) -> Optional[Extent]:
        self._count(0)
        return self._memory.extent(address)

    def segments(self) -> Sequence[Segment]:
        return self._memory.segments()

    def filled_runs(self, start: int, end: int) -> Iterator[Tuple[int, int]]:
        return filled_runs(self._memory, start, end)

    def captured_run(self, address: int) -> Optional[Tuple[int, int]]:
        return captured_run(self._memory, address)

    def for_search(self) -> Memory:
        return CheckedMemory(for_search(self._memory), self._check)


class LldbMemory:
    """Implements memory.Memory."""

    def __init__(self, lldb: Any, process: Any) -> None:
        self._lldb = lldb
        self._process = process
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._regions: Optional[List[Segment]] = None

    def extent(self, address: int) -> Optional[Extent]:
        if not 0 <= address < 1 << 64:
            return None
        start = address - address % BLOCK
        block = self._blocks.get(start)
        if block is None:
            block = self._fill(start)
        else:
            self._blocks.move_to_end(start)
        if address < start + len(block):
            return (start, start + len(block), block, start)
        return self._tail(address, start) if len(block) < BLOCK else None

    def read(self, address: int, size: int) -> Optional[bytes]:
        if size <= 0 or address < 0 or address + size > 1 << 64:
            return None
        if size > 4 * BLOCK:
            return self._fetch(address, size)
        data = b""
        while len(data) < size:
            found = self.extent(address + len(data))
            if found is None:
                return None
            start, end, block, delta = found
            at = address + len(data)
            data += bytes(block[at - delta : min(end, address + size) - delta])
        return data

    def _fill(self, start: int) -> bytes:
        """The block's bytes up to its first page that cannot be read; empty when that is its first one."""
        data = self._fetch(start, BLOCK)
        if data is None:
            pages = []
            for page in range(start, start + BLOCK, 4096):
                piece = self._fetch(page, 4096)
                if piece is None:
                    break
                pages.append(piece)
            data = b"".join(pages)
        self._blocks[start] = data
        while len(self._blocks) > BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def _tail(self, address: int, start: int) -> Optional[Extent]:
        """Behind a hole in a block: the pages from `address` on."""
        page = address - address % 4096
        data = self._fetch(page, 4096)
        return None if data is None else (page, page + 4096, data, page)

    def _fetch(self, address: int, size: int) -> Optional[bytes]:
        if address + size > 1 << 64:
            return None
        data = self._process.ReadMemory(address, size, self._lldb.SBError())
        return bytes(data) if data is not None and len(data) == size else None

    def segments(self) -> Sequence[Segment]:
        """The readable regions, in order of address; those behind SCAN_BYTES are there without bytes to search."""
        if self._regions is None:
            self._regions = self._list()
        return self._regions

    def _list(self) -> List[Segment]:
        listed = self._process.GetMemoryRegions()
        info = self._lldb.SBMemoryRegionInfo()
        found: List[Tuple[int, int, bool, bool, bool]] = []
        for index in range(min(listed.GetSize(), REGIONS)):
            listed.GetMemoryRegionAtIndex(index, info)
            start, end = int(info.GetRegionBase()), int(info.GetRegionEnd())
            if info.IsMapped() and start < end:
                found.append((start, end, info.IsReadable(), info.IsWritable(), info.IsExecutable()))
        segments: List[Segment] = []
        offered = 0
        for start, end, readable, writable, executable in sorted(found):
            size = end - start if readable else 0
            offered += size
            segments.append(
                Segment(start, end, 0, size if offered <= SCAN_BYTES else 0, readable, writable, executable)
            )
        return segments
