"""A 64-bit little-endian ELF image in memory: segments, GNU hash look-up, .symtab of the file, RELATIVE relocations.

Sources: System V gABI (ELF64 headers, dynamic section), the GNU hash section as glibc's elf/dl-lookup.c reads it,
x86-64 psABI R_X86_64_RELATIVE (8) and AAELF64 R_AARCH64_RELATIVE (1027).
"""

from __future__ import annotations

import struct
from typing import Dict, Optional

from dumpwalk.core.memory import Memory
from dumpwalk.coreclr.image import SYMBOL_TABLE_BYTES, FileBytes, Image, ImageSegment, ImageSymbol
from dumpwalk.images import elf
from dumpwalk.images.elf import PT_DYNAMIC, PT_LOAD, PT_NOTE

_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_STRSZ, _DT_GNU_HASH = 4, 5, 6, 7, 8, 10, 0x6FFFFEF5
_SHT_SYMTAB = 2
_RELATIVE = (8, 1027)
_CHAIN = 100_000
_DYNAMIC_ENTRIES = 512
_RELA = struct.Struct("<QQq")
"""r_offset, r_info, r_addend."""


class ElfImage(Image):
    def __init__(self, memory: Memory, base: int, file: Optional[FileBytes]) -> None:
        super().__init__(memory, base, file)
        self._bias = base
        self._dynamic: Optional[Dict[int, int]] = None
        self._dynamic_at = 0
        self._note_at = (0, 0)
        self._relocations: Optional[bytes] = None
        self._pointers: Dict[int, Optional[int]] = {}
        self._read_headers()

    def _header_bytes(self, offset: int, size: int) -> Optional[bytes]:
        data = self._memory.read(self.base + offset, size)
        if data is None and self._file is not None:
            data = bytes(self._file[offset : offset + size])
        return data if data and len(data) == size else None

    def _read_headers(self) -> None:
        rows = elf.program_headers(self._header_bytes) or []
        loads = [row for row in rows if row.kind == PT_LOAD]
        if not loads:
            return
        self._bias = self.base - (min(row.address for row in loads) & ~0xFFF)
        for kind, flags, offset, address, file_size, memory_size, _ in rows:
            start = (self._bias + address) & 0xFFFFFFFFFFFFFFFF
            if kind == PT_LOAD:
                end = start + max(memory_size, file_size)
                self.segments.append(ImageSegment(start, end, offset, file_size, bool(flags & 2), bool(flags & 1)))
            elif kind == PT_DYNAMIC:
                self._dynamic_at = start
            elif kind == PT_NOTE and self._note_at[1] == 0:
                self._note_at = (start, min(file_size, 4096))

    def build_id(self) -> Optional[str]:
        start, size = self._note_at
        data = self.read(start, size) if size else None
        return elf.build_id(data) if data else None

    def _tags(self) -> Dict[int, int]:
        """The dynamic section, addresses as load addresses (glibc relocates them in place, musl does not)."""
        if self._dynamic is None:
            self._dynamic = {}
            for index in range(_DYNAMIC_ENTRIES if self._dynamic_at else 0):
                entry = self.read(self._dynamic_at + 16 * index, 16)
                if entry is None:
                    break
                tag, value = struct.unpack("<QQ", entry)
                if tag == 0:
                    break
                if tag in (_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_GNU_HASH) and value < self.base:
                    value += self._bias
                self._dynamic.setdefault(tag, value)
        return self._dynamic

    def _find_symbol(self, name: str) -> Optional[ImageSymbol]:
        return self._exported(name.encode()) or self._in_symtab(name.encode())

    def _exported(self, name: bytes) -> Optional[ImageSymbol]:
        tags = self._tags()
        if not {_DT_GNU_HASH, _DT_SYMTAB, _DT_STRTAB} <= set(tags):
            return None
        header = self.read(tags[_DT_GNU_HASH], 16)
        if header is None:
            return None
        buckets, first, bloom, _ = struct.unpack("<IIII", header)
        if not buckets:
            return None
        wanted = 5381
        for byte in name:
            wanted = (wanted * 33 + byte) & 0xFFFFFFFF
        table = tags[_DT_GNU_HASH] + 16 + 8 * bloom
        start = self.read(table + 4 * (wanted % buckets), 4)
        index = int.from_bytes(start, "little") if start else 0
        if index < first:
            return None
        for at in range(index, index + _CHAIN):
            word = self.read(table + 4 * buckets + 4 * (at - first), 4)
            if word is None:
                return None
            value = int.from_bytes(word, "little")
            if value | 1 == wanted | 1:
                found = self._symbol_entry(tags[_DT_SYMTAB] + 24 * at, tags[_DT_STRTAB], name)
                if found is not None:
                    return found
            if value & 1:
                return None
        return None

    def _symbol_entry(self, address: int, strings: int, name: bytes) -> Optional[ImageSymbol]:
        entry = self.read(address, 24)
        if entry is None:
            return None
        offset, _, _, section, value, size = struct.unpack("<IBBHQQ", entry)
        if section == 0 or self.read(strings + offset, len(name) + 1) != name + b"\0":
            return None
        return ImageSymbol(self._bias + value, size)

    def _in_symtab(self, name: bytes) -> Optional[ImageSymbol]:
        """A local symbol, from the file's section table; runtimes of 3.1 keep it."""
        content = self._file
        if content is None or len(content) < 64:
            return None
        (table,) = struct.unpack_from("<Q", content, 40)
        entry_size, count = struct.unpack_from("<HH", content, 58)
        if entry_size != 64 or table + 64 * count > len(content):
            return None
        for index in range(count):
            row = struct.unpack_from("<IIQQQQIIQQ", content, table + 64 * index)
            if row[1] != _SHT_SYMTAB or row[6] >= count or row[5] > SYMBOL_TABLE_BYTES:
                continue
            names = struct.unpack_from("<IIQQQQIIQQ", content, table + 64 * row[6])
            if names[5] > SYMBOL_TABLE_BYTES:
                continue
            at = bytes(content[names[4] : names[4] + names[5]]).find(b"\0" + name + b"\0")
            if at < 0:
                continue
            symbols = bytes(content[row[4] : row[4] + row[5]])
            key, found = struct.pack("<I", at + 1), -1
            while (found := symbols.find(key, found + 1)) >= 0:
                if found % 24 == 0 and found + 24 <= len(symbols):
                    _, _, _, section, value, size = struct.unpack_from("<IBBHQQ", symbols, found)
                    if section:
                        return ImageSymbol(self._bias + value, size)
        return None

    def file_pointer(self, address: int) -> Optional[int]:
        if address not in self._pointers:
            self._pointers[address] = self._file_pointer(address)
        return self._pointers[address]

    def _file_pointer(self, address: int) -> Optional[int]:
        stored = self.read_file(address, 8)
        if stored is None:
            return None
        if self._relocations is None:
            tags = self._tags()
            size = tags.get(_DT_RELASZ, 0)
            usable = _DT_RELA in tags and 0 < size <= SYMBOL_TABLE_BYTES
            self._relocations = (self.read_file(tags[_DT_RELA], size) if usable else None) or b""
        place = address - self._bias
        key = (
            struct.pack("<Q", place).rstrip(b"\0") or b"\0"
        )  # many zeros are a bad end of what is looked for: 4 times slower
        at = self._relocations.find(key)
        while at >= 0:
            row, inside = divmod(at, _RELA.size)
            if not inside and at + _RELA.size <= len(self._relocations):
                offset, info, addend = _RELA.unpack_from(self._relocations, at)
                if offset == place:
                    return self._bias + addend if info & 0xFFFFFFFF in _RELATIVE else None
            at = self._relocations.find(key, (row + 1) * _RELA.size)
        return int.from_bytes(stored, "little")
