"""A 64-bit Mach-O image in memory: segments, UUID, the symbol table with local symbols, rebased pointers.

Sources: mach-o/loader.h (commands), mach-o/nlist.h, mach-o/fixup-chains.h (DYLD_CHAINED_PTR_64 and _64_OFFSET).
"""

from __future__ import annotations

import struct
from typing import Dict, Optional, Tuple

from dumpwalk.core.memory import Memory
from dumpwalk.coreclr.image import SYMBOL_TABLE_BYTES, FileBytes, Image, ImageSegment, ImageSymbol
from dumpwalk.images import macho
from dumpwalk.images.macho import LC_CHAINED_FIXUPS, LC_SYMTAB, PAGEZERO, TEXT

_N_STAB, _N_TYPE, _N_SECT = 0xE0, 0x0E, 0x0E
_CHAINED_PTR_64, _CHAINED_PTR_64_OFFSET = 2, 6


class MachOImage(Image):
    def __init__(self, memory: Memory, base: int, file: Optional[FileBytes]) -> None:
        super().__init__(memory, base, file)
        self.slide = 0
        self._uuid: Optional[str] = None
        self._symtab: Optional[Tuple[int, int, int, int]] = None
        self._chains_at: Optional[int] = None
        self._chain_formats: Optional[Dict[int, int]] = None
        self._tables: Optional[Tuple[bytes, bytes]] = None
        self._read_commands()

    def _header_bytes(self, offset: int, size: int) -> Optional[bytes]:
        data = self._memory.read(self.base + offset, size)
        if data is None and self._file is not None:
            data = bytes(self._file[offset : offset + size])
        return data

    def _read_commands(self) -> None:
        header = macho.header(self._header_bytes)
        if header is None:
            return
        self._uuid = macho.uuid(header)
        for command, body in header.commands:
            if command == LC_SYMTAB and len(body) >= 24:
                self._symtab = struct.unpack_from("<IIII", body, 8)
            elif command == LC_CHAINED_FIXUPS and len(body) >= 16:
                (self._chains_at,) = struct.unpack_from("<I", body, 8)
        rows = macho.segments(header)
        text = next((row for row in rows if row.name == TEXT), None)
        if text is None:
            return
        self.slide = self.base - text.address
        for name, address, length, offset, file_size, protection in rows:
            if name == PAGEZERO or address + self.slide < 0:
                continue
            start, held = address + self.slide, min(file_size, length)
            writable, executable = bool(protection & 2), bool(protection & 4)
            self.segments.append(ImageSegment(start, start + length, offset, held, writable, executable, name))

    def build_id(self) -> Optional[str]:
        return self._uuid

    def _at_file_offset(self, offset: int, size: int) -> Optional[bytes]:
        """Bytes of __LINKEDIT that a command names by file offset."""
        for segment in self.segments:
            if segment.file_offset <= offset and offset + size <= segment.file_offset + segment.file_size:
                return self.read(segment.start + offset - segment.file_offset, size)
        return None

    def _symbol_tables(self) -> Tuple[bytes, bytes]:
        if self._tables is None:
            self._tables = (b"", b"")
            if self._symtab is not None:
                offset, count, strings, size = self._symtab
                if count and size and 16 * count <= SYMBOL_TABLE_BYTES and size <= SYMBOL_TABLE_BYTES:
                    entries, names = self._at_file_offset(offset, 16 * count), self._at_file_offset(strings, size)
                    if entries and names:
                        self._tables = (entries, names)
        return self._tables

    def has_symbols(self) -> bool:
        """Whether the symbol table was at hand, so that a symbol not found is one that the image does not have."""
        return bool(self._symbol_tables()[0])

    def _find_symbol(self, name: str) -> Optional[ImageSymbol]:
        entries, names = self._symbol_tables()
        for spelling in ("_" + name, name):
            at = names.find(b"\0" + spelling.encode() + b"\0")
            if at < 0:
                continue
            key, found = struct.pack("<I", at + 1), -1
            while (found := entries.find(key, found + 1)) >= 0:
                if found % 16:
                    continue
                _, kind, _, _, value = struct.unpack_from("<IBBHQ", entries, found)
                if not kind & _N_STAB and kind & _N_TYPE == _N_SECT:
                    return ImageSymbol(value + self.slide, None)
        return None

    def size_to_next_symbol(self, symbol: ImageSymbol) -> Optional[int]:
        """Bytes from a symbol to the next higher one: an upper bound of its size."""
        start = symbol.address - self.slide
        following = [
            value
            for _, kind, _, _, value in struct.iter_unpack("<IBBHQ", self._symbol_tables()[0])
            if value > start and not kind & _N_STAB and kind & _N_TYPE == _N_SECT
        ]
        return min(following) - start if following else None

    def file_pointer(self, address: int) -> Optional[int]:
        stored = self.read_file(address, 8)
        if stored is None:
            return None
        value = int.from_bytes(stored, "little")
        if value == 0:
            return 0
        if self._chains_at is None:
            return value + self.slide  # a classic rebase: the file holds the address without the slide
        if value >> 63:
            return None  # bound to another image
        target, top = value & 0xFFFFFFFFF, (value >> 36 & 0xFF) << 56
        kind = self._chain_format(address)
        if kind == _CHAINED_PTR_64:
            return (target + self.slide) | top
        if kind == _CHAINED_PTR_64_OFFSET:
            return (target + self.base) | top
        return None

    def _chain_format(self, address: int) -> Optional[int]:
        """pointer_format of the segment that holds `address` (dyld_chained_starts_in_segment)."""
        if self._chain_formats is None:
            self._chain_formats = {}
            header = self._at_file_offset(self._chains_at or 0, 28)
            starts = (self._chains_at or 0) + (struct.unpack_from("<I", header, 4)[0] if header else 0)
            count_bytes = self._at_file_offset(starts, 4) if header else None
            count = min(int.from_bytes(count_bytes, "little"), 64) if count_bytes else 0
            for index in range(count):
                offset = self._at_file_offset(starts + 4 + 4 * index, 4)
                if offset and any(offset):
                    info = self._at_file_offset(starts + int.from_bytes(offset, "little"), 22)
                    if info:
                        page_size, pointer_format, segment_offset = struct.unpack_from("<HHQ", info, 4)
                        self._chain_formats[segment_offset] = pointer_format
        for segment in self.segments:
            if segment.start <= address < segment.end:
                return self._chain_formats.get(segment.start - self.base)
        return None
