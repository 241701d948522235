"""An image of the process (ELF or Mach-O) as it lies in memory: named symbols, segments, build-id, relocated pointers.

Bytes come from the dump; where the dump lacks them, from the matched file, moved to the load address. So exports are
found in heap dumps without the file (createdump looked the same names up and so captured the pages) and with it.
"""

from __future__ import annotations

import mmap
from typing import Dict, List, Optional, Tuple, Union

from dumpwalk.core.memory import Memory
from dumpwalk.dataclass import dataclass

FileBytes = Union[bytes, mmap.mmap]

SYMBOL_TABLE_BYTES = 256 << 20
"""Symbol or string tables larger than this are not searched; CoreCLR's with all local symbols have 5 MB."""


@dataclass(frozen=True)
class ImageSymbol:
    address: int
    """Load address."""
    size: Optional[int]
    """Bytes; None where the format does not record it (Mach-O)."""


@dataclass(frozen=True)
class ImageSegment:
    start: int
    end: int
    """Load addresses; `end` counts zero-filled bytes behind the file's."""
    file_offset: int
    file_size: int
    writable: bool
    executable: bool
    name: str = ""


class Image:
    """Common part; `ElfImage` and `MachOImage` know the formats. Nothing here raises on damaged bytes."""

    def __init__(self, memory: Memory, base: int, file: Optional[FileBytes]) -> None:
        self.base = base
        self.segments: List[ImageSegment] = []
        self._memory = memory
        self._file = file
        self._symbols: Dict[str, Optional[ImageSymbol]] = {}

    def read(self, address: int, size: int) -> Optional[bytes]:
        """From the dump, else from the file."""
        return self._memory.read(address, size) or self.read_file(address, size)

    def read_file(self, address: int, size: int) -> Optional[bytes]:
        """The file's bytes for a load address, without relocations; None outside of what the file holds."""
        if self._file is None or size <= 0:
            return None
        for segment in self.segments:
            offset = address - segment.start
            if offset >= 0 and offset + size <= segment.file_size:
                start = segment.file_offset + offset
                data = bytes(self._file[start : start + size])
                return data if len(data) == size else None
        return None

    def symbol(self, name: str) -> Optional[ImageSymbol]:
        """The symbol of this C name; None when the image has no such symbol or its tables are not at hand."""
        if name not in self._symbols:
            self._symbols[name] = self._find_symbol(name)
        return self._symbols[name]

    @property
    def looked_up(self) -> List[str]:
        """The names that `symbol` was asked for."""
        return sorted(self._symbols)

    def build_id(self) -> Optional[str]:
        """ELF build-id or Mach-O UUID, lower-case hex."""
        return None

    def pointer(self, address: int) -> Optional[int]:
        """The pointer stored at `address`: from the dump, else from the file with its relocation applied."""
        data = self._memory.read(address, 8)
        if data is not None:
            return int.from_bytes(data, "little")
        return self.file_pointer(address)

    def file_pointer(self, address: int) -> Optional[int]:
        """The pointer that the loader would have stored at `address` of the file's image."""
        return None

    def span(self) -> Tuple[int, int]:
        """First and one past the last address of the segments."""
        if not self.segments:
            return self.base, self.base
        return min(s.start for s in self.segments), max(s.end for s in self.segments)

    def _find_symbol(self, name: str) -> Optional[ImageSymbol]:
        return None
