"""From a pc to its FDE: the sorted table of .eh_frame_hdr, where it lies in the image.

Source: Linux Standard Base 5, 10.6.2. createdump unwinds every thread itself, so its dumps hold the parts of the table and
of .eh_frame that stacks need (all of libcoreclr's since 8); where a page lacks, the matched file fills it.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional

from dumpwalk.core.memory import Memory
from dumpwalk.images.elf import bias
from dumpwalk.images.elf_memory import program_headers
from dumpwalk.unwinding.cfi import EntryReader, Fde, encoded
from dumpwalk.unwinding.leb128 import Cursor

PT_GNU_EH_FRAME = 0x6474E550
_SORTED = 0x3B
"""DW_EH_PE_datarel | sdata4: the one form of table that linkers write."""
_ROWS = 4_000_000


class _Table(NamedTuple):
    base: int
    first: int
    rows: int


class EhFrames:
    """FDEs of all images, by the image's load address."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._entries = EntryReader(memory)
        self._tables: Dict[int, Optional[_Table]] = {}

    def fde(self, image: int, pc: int) -> Optional[Fde]:
        """The FDE that covers `pc` of the image loaded at `image`; None when there is none or it is not at hand."""
        if image not in self._tables:
            self._tables[image] = self._table(image)
        table = self._tables[image]
        if table is None:
            return None
        low, high = 0, table.rows
        while low < high:
            middle = (low + high) // 2
            row = self._memory.read(table.first + 8 * middle, 4)
            if row is None:
                return None
            if _signed(row) + table.base <= pc:
                low = middle + 1
            else:
                high = middle
        row = self._memory.read(table.first + 8 * (low - 1) + 4, 4) if low else None
        fde = self._entries.fde_at(table.base + _signed(row)) if row is not None else None
        return fde if fde is not None and fde.start <= pc < fde.end else None

    def _table(self, image: int) -> Optional[_Table]:
        headers = program_headers(self._memory, image)
        header = next((h for h in headers if h.kind == PT_GNU_EH_FRAME), None)
        if header is None:
            return None
        base = header.address + bias(headers, image)
        data = self._memory.read(base, 24) or self._memory.read(base, 12)
        if data is None or data[0] != 1 or data[3] != _SORTED:
            return None
        cursor = Cursor(data, 4)
        try:
            encoded(cursor, data[1], 0)
            count = encoded(cursor, data[2], 0)
        except ValueError:
            return None
        return _Table(base, base + cursor.at, count) if 0 < count <= _ROWS else None


def _signed(four: bytes) -> int:
    return int.from_bytes(four, "little", signed=True)
