"""A committed core as a Process without lldb, its memory as it is or with words rewritten on top."""

from __future__ import annotations

import struct
from typing import Dict, List, Optional, Sequence

from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Extent, Memory
from dumpwalk.core.process import Process
from dumpwalk.debugger.open import open_bare
from dumpwalk.debugger.source import Source
from dumpwalk.dump.preflight import open_core
from tests.conftest import unpack_core


class Missing:
    file: Optional[str] = None
    match = "missing"
    build_id: Optional[str] = None
    other: Optional[str] = None


def bare_process(name: str) -> Process:
    core = open_core(str(unpack_core(name)))
    return open_bare(Source.of_core(core), [(image, Missing()) for image in core.images], "a test without lldb")


class Rewritten:
    """A dump's memory with some bytes replaced; `words` maps an 8-aligned address to its new 64-bit value."""

    def __init__(self, below: Memory, words: Dict[int, int], holes: Sequence[range] = ()) -> None:
        self._below = below
        self._words = words
        self._holes = list(holes)

    def read(self, address: int, size: int) -> Optional[bytes]:
        if any(h.start < address + size and address < h.stop for h in self._holes):
            return None
        data = self._below.read(address, size)
        if data is None:
            return None
        if size < 1 << 16:
            touched: List[int] = [a for a in range(address & ~7, address + size, 8) if a in self._words]
        else:
            touched = [a for a in self._words if address - 8 < a < address + size]
        if not touched:
            return data
        changed = bytearray(data)
        for at in touched:
            value = struct.pack("<Q", self._words[at])
            for position in range(8):
                if 0 <= at + position - address < size:
                    changed[at + position - address] = value[position]
        return bytes(changed)

    def extent(self, address: int) -> Optional[Extent]:
        """One page at a time, so that loops over an extent see the new words."""
        page = address & ~0xFFF
        found = self._below.extent(address)
        if found is None:
            return None
        low, high = max(page, found[0]), min(page + 0x1000, found[1])
        data = self.read(low, high - low)
        return None if data is None else (low, high, data, low)

    def segments(self) -> Sequence[Segment]:
        return self._below.segments()


def rewrite(process: Process, words: Dict[int, int], holes: Sequence[range] = ()) -> Process:
    process.memory = Rewritten(process.memory, words, holes)
    return process
