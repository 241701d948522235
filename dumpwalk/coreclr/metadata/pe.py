"""A PE image with managed code, as it lies in memory (mapped by section, or flat) or in a file: RVA to address, its headers.

Sources: PE/COFF specification (COFF header, section table, data directory 14), ECMA-335 II.25.3.3 (CLI header).
"""

from __future__ import annotations

import struct
from typing import List, Optional, Tuple

from dumpwalk.coreclr.words import NotRead, Words

_SECTIONS = 96
"""The loader of Windows accepts no more."""
_CLI_DIRECTORY = 14


class PeImage:
    """An image at `base`; `mapped` tells whether RVAs count from there, else the section table places them."""

    def __init__(self, words: Words, base: int, size: int, mapped: bool) -> None:
        self.words = words
        self.base = base
        self.size = size
        self.mapped = mapped
        self._sections: Optional[List[Tuple[int, int, int]]] = None

    def address(self, rva: int) -> int:
        """Where the byte of this RVA lies. Raises NotRead."""
        if self.mapped:
            if not 0 <= rva < self.size:
                raise NotRead(f"RVA {rva:#x} lies outside of the image at 0x{self.base:x}")
            return self.base + rva
        for start, length, raw in self.sections():
            if start <= rva < start + length and raw + rva - start < self.size:
                return self.base + raw + rva - start
        raise NotRead(f"RVA {rva:#x} lies in no section of the image at 0x{self.base:x}")

    def nt_headers(self) -> int:
        if self.words.take(self.base, 2, "the image's header") != b"MZ":
            raise NotRead(f"the image at 0x{self.base:x} does not begin as a PE file does")
        at = self.base + self.words.u32(self.base + 0x3C, "the image's header")
        if self.words.take(at, 4, "the image's PE header") != b"PE\0\0":
            raise NotRead(f"the image at 0x{self.base:x} has no PE header")
        return at

    def sections(self) -> List[Tuple[int, int, int]]:
        """(RVA, length in the file or, mapped, in memory, file offset) of each section."""
        if self._sections is None:
            at = self.nt_headers()
            count, optional = self.words.u16(at + 6), self.words.u16(at + 20)
            if count > _SECTIONS:
                raise NotRead(f"the image at 0x{self.base:x} has {count} sections")
            table = self.words.take(at + 24 + optional, 40 * count, "the image's section table")
            rows = [struct.unpack_from("<4I", table, 40 * index + 8) for index in range(count)]
            self._sections = [
                (rva, virtual if self.mapped else max(virtual, raw_size), raw) for virtual, rva, raw_size, raw in rows
            ]
        return self._sections

    def time_stamp(self) -> int:
        """The COFF time stamp: in deterministic builds a hash of the content."""
        return self.words.u32(self.nt_headers() + 8, "the image's time stamp")

    def image_size(self) -> int:
        """SizeOfImage."""
        return self.words.u32(self.nt_headers() + 24 + 56, "the image's size")

    def directory(self, number: int) -> Tuple[int, int]:
        """(RVA, size) of a data directory."""
        at = self.nt_headers() + 24
        magic = self.words.u16(at)
        start = at + (112 if magic == 0x20B else 96)
        if number >= self.words.u32(start - 4):
            raise NotRead(f"the image at 0x{self.base:x} has no data directory {number}", absent=True)
        return self.words.u32(start + 8 * number), self.words.u32(start + 8 * number + 4)

    def cli_header(self) -> int:
        rva, size = self.directory(_CLI_DIRECTORY)
        if not rva or size < 72:
            raise NotRead(f"the image at 0x{self.base:x} holds no managed code", absent=True)
        return self.address(rva)

    def metadata(self, cli_header: Optional[int] = None) -> Tuple[int, int]:
        """(address, size) of the metadata root."""
        at = self.cli_header() if cli_header is None else cli_header
        rva, size = self.words.u32(at + 8, "the CLI header"), self.words.u32(at + 12, "the CLI header")
        if not rva or not 32 <= size <= 1 << 30:
            raise NotRead(f"the CLI header at 0x{at:x} names no metadata")
        return self.address(rva), size
