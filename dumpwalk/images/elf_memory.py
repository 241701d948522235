"""An ELF image as it lies in the dumped process's memory: its program headers, build-id and size.

A kernel core holds no more of a mapped file than its first page, so everything in here may come back as None.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import Iterator, List, NamedTuple, Optional

from dumpwalk.core.memory import Memory
from dumpwalk.dump import elf_notes

PT_LOAD, PT_DYNAMIC, PT_NOTE = 1, 2, 4
_MAX_HEADERS = 128
_MAX_NOTE_SEGMENTS, _MAX_NOTES = 8, 4096
"""A build-id stands in the first few hundred bytes of notes."""


class ProgramHeader(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    """As linked; the run-time address adds the image's bias."""
    file_size: int
    memory_size: int


def program_headers(memory: Memory, base: int) -> List[ProgramHeader]:
    """Program headers of the image whose ELF header lies at `base`; empty when they were not captured."""
    header = memory.read(base, 64)
    if header is None or header[:6] != b"\x7fELF\x02\x01":
        return []
    (table,) = struct.unpack_from("<Q", header, 32)
    entry_size, count = struct.unpack_from("<HH", header, 54)
    if entry_size != 56 or not 0 < count <= _MAX_HEADERS or not 64 <= table < 1 << 32:
        return []
    data = memory.read(base + table, 56 * count)
    if data is None:
        return []
    return [
        ProgramHeader(kind, flags, offset, address, file_size, memory_size)
        for kind, flags, offset, address, _, file_size, memory_size, _ in struct.iter_unpack("<IIQQQQQQ", data)
    ]


def bias(headers: List[ProgramHeader], base: int) -> int:
    """What to add to a linked address: 0 for an executable linked at its place, the base for a shared object."""
    first = next((h for h in headers if h.kind == PT_LOAD), None)
    return base if first is None else base - (first.address & ~0xFFF)


def memory_build_id(memory: Memory, base: int) -> Optional[str]:
    """Build-id of the image at `base`, lower-case hex; None when its notes were not captured or hold none."""
    headers = program_headers(memory, base)
    delta = bias(headers, base)
    for header in islice(_of(headers, PT_NOTE), _MAX_NOTE_SEGMENTS):
        data = memory.read((header.address + delta) % (1 << 64), min(header.memory_size, _MAX_NOTES))
        found = elf_notes.build_id(data) if data else None
        if found:
            return found
    return None


def memory_image_end(memory: Memory, base: int) -> Optional[int]:
    """End of the image's last PT_LOAD, rounded up to a 4 KiB page; None when the headers were not captured."""
    headers = program_headers(memory, base)
    delta = bias(headers, base)
    ends = [h.address + h.memory_size + delta for h in _of(headers, PT_LOAD)]
    return (max(ends) + 0xFFF & ~0xFFF) if ends and max(ends) < 1 << 64 else None


def _of(headers: List[ProgramHeader], kind: int) -> Iterator[ProgramHeader]:
    return (header for header in headers if header.kind == kind)
