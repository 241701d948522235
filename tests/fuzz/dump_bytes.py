"""A second, small reader of cores, for the tests only: it shares no line with dumpwalk, so that both can be compared.

Just what mutations and the oracle need: where segments, registers, notes and headers lie in the file, and words by address.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

X64_PRSTATUS = [
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
]
ARM64 = [*(f"x{i}" for i in range(29)), "fp", "lr", "sp", "pc"]
X64_MACHO = [
    *("rax", "rbx", "rcx", "rdx", "rdi", "rsi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
    *("rip", "rflags", "cs", "fs", "gs"),
]


@dataclass
class ThreadBytes:
    tid: Optional[int]
    registers: Dict[str, Tuple[int, int]]
    """Name → (value, file offset of its 8 bytes)."""
    span: Tuple[int, int]
    """File offsets of its note or load command."""

    def value(self, name: str) -> int:
        return self.registers[name][0]


@dataclass
class DumpBytes:
    data: bytes
    format: str
    arch: str = ""
    segments: List[Tuple[int, int, int, bool]] = field(default_factory=list)
    """(address, file offset, bytes, writable), as far as the file holds them."""
    threads: List[ThreadBytes] = field(default_factory=list)
    header_end: int = 64
    table: Tuple[int, int] = (0, 0)
    """File offsets of program headers or load commands."""
    entries: List[int] = field(default_factory=list)
    """File offset of each."""
    notes: List[Tuple[int, int]] = field(default_factory=list)
    """File offsets of each note, header included."""

    def offset_of(self, address: int, size: int = 8) -> Optional[int]:
        """Where `size` bytes at `address` lie in the file; None when they are not all in one segment of it."""
        for start, offset, length, _ in self.segments:
            if start <= address and address + size <= start + length:
                return offset + address - start
        return None

    def word(self, address: int, size: int = 8) -> Optional[int]:
        offset = self.offset_of(address, size)
        return None if offset is None else int.from_bytes(self.data[offset : offset + size], "little")

    @property
    def sp(self) -> str:
        return "rsp" if self.arch == "x86_64" else "sp"

    @property
    def pc(self) -> str:
        return "rip" if self.arch == "x86_64" else "pc"


def read(path: Path) -> DumpBytes:
    """The dump in a file, as far as it makes sense. Raises nothing for damaged ones."""
    return parse(path.read_bytes())


def parse(data: bytes) -> DumpBytes:
    dump = DumpBytes(data, "elf" if data[:4] == b"\x7fELF" else "mach-o")
    try:
        (_elf if dump.format == "elf" else _macho)(dump)
    except (struct.error, OverflowError):
        pass  # cut or absurd: what was read until then stands
    dump.segments.sort()
    return dump


def _elf(dump: DumpBytes) -> None:
    data = dump.data
    (machine,) = struct.unpack_from("<H", data, 18)
    dump.arch = "x86_64" if machine == 62 else "aarch64"
    (table,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    dump.table = (table, table + 56 * count)
    names = X64_PRSTATUS if dump.arch == "x86_64" else [*ARM64, "cpsr"]
    spans = []
    for index in range(min(count, 65000)):
        at = table + 56 * index
        kind, flags, offset, address, _, file_size, memory_size, _ = struct.unpack_from("<IIQQQQQQ", data, at)
        dump.entries.append(at)
        held = max(0, min(file_size, memory_size, len(data) - offset))
        if kind == 1 and held:
            dump.segments.append((address, offset, held, bool(flags & 2)))
        elif kind == 4:
            spans.append((offset, min(offset + file_size, len(data))))
    for position, end in spans:
        while position + 12 <= end:
            name_size, size, kind = struct.unpack_from("<III", data, position)
            body = position + 12 + ((name_size + 3) & ~3)
            if body + size > end:
                break
            following = body + ((size + 3) & ~3)
            dump.notes.append((position, following))
            owner = data[position + 12 : position + 12 + name_size].rstrip(b"\0")
            if owner == b"CORE" and kind == 1 and size >= 112 + 8 * len(names):
                (tid,) = struct.unpack_from("<i", data, body + 32)
                dump.threads.append(ThreadBytes(tid, _registers(data, names, body + 112), (position, following)))
            position = following


def _macho(dump: DumpBytes) -> None:
    data = dump.data
    dump.header_end = 32
    cpu, _, _, count, length = struct.unpack_from("<5I", data, 4)
    dump.arch = "x86_64" if cpu == 0x01000007 else "aarch64"
    names = X64_MACHO if dump.arch == "x86_64" else ARM64
    dump.table = (32, 32 + length)
    at = 32
    for _ in range(min(count, 200_000)):
        command, size = struct.unpack_from("<II", data, at)
        if size < 8 or at + size > 32 + length:
            break
        dump.entries.append(at)
        if command == 0x19:
            address, memory_size, offset, file_size = struct.unpack_from("<QQQQ", data, at + 24)
            (protection,) = struct.unpack_from("<I", data, at + 60)
            held = max(0, min(file_size, memory_size, len(data) - offset))
            if held:
                dump.segments.append((address, offset, held, bool(protection & 2)))
        elif command == 0x4:
            flavour = 4 if dump.arch == "x86_64" else 6
            position = at + 8
            registers: Dict[str, Tuple[int, int]] = {}
            while position + 8 <= at + size and not registers:
                kind, words = struct.unpack_from("<II", data, position)
                if kind == flavour and words * 4 >= 8 * len(names):
                    registers = _registers(data, names, position + 8)
                position += 8 + 4 * words
            dump.threads.append(ThreadBytes(None, registers, (at, at + size)))
        at += size


def _registers(data: bytes, names: List[str], at: int) -> Dict[str, Tuple[int, int]]:
    values = struct.unpack_from(f"<{len(names)}Q", data, at)
    return {name: (value, at + 8 * index) for index, (name, value) in enumerate(zip(names, values))}
