"""The one reader of ELF headers and notes, over bytes that come from a file or from a process's memory.

64-bit little-endian only. Sources: System V gABI (Elf64_Ehdr, Elf64_Phdr, notes). struct and not pyelftools: every file of a
module folder and every image of a core is asked, and importing pyelftools alone takes longer than that.
"""

from __future__ import annotations

import struct
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

Bytes = Union[bytes, memoryview]
Read = Callable[[int, int], Optional[bytes]]
"""(offset from the ELF header, size): the bytes; fewer at the end of a file, None where memory is not captured."""

PT_LOAD, PT_DYNAMIC, PT_NOTE = 1, 2, 4
NT_GNU_BUILD_ID = 3
MAGIC = b"\x7fELF\x02\x01"
_NOTE = struct.Struct("<III")
PHDR = struct.Struct("<IIQQQQQQ")
_HEADERS = 1024
"""Program headers of an image; shared objects have about ten."""


class ProgramHeader(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    """As linked; the run-time address adds the image's bias."""
    file_size: int
    memory_size: int
    physical: int = 0
    """p_paddr: 0 in cores, but of the parts of evidence cores."""


def program_headers(read: Read) -> Optional[List[ProgramHeader]]:
    """The program headers of an image; None where there is no ELF header, empty where its table is absurd or not there."""
    header = read(0, 64)
    if header is None or len(header) < 64 or header[:6] != MAGIC:
        return None
    (table,) = struct.unpack_from("<Q", header, 32)
    entry_size, count = struct.unpack_from("<HH", header, 54)
    if entry_size != PHDR.size or not 0 < count <= _HEADERS or not 64 <= table < 1 << 32:
        return []
    data = read(table, PHDR.size * count)
    return rows_of(data) if data is not None else []


def rows_of(table: Bytes) -> List[ProgramHeader]:
    """The program headers in these bytes, as many as are whole."""
    whole = len(table) - len(table) % PHDR.size
    return [
        ProgramHeader(kind, flags, offset, address, file_size, memory_size, physical)
        for kind, flags, offset, address, physical, file_size, memory_size, _ in PHDR.iter_unpack(table[:whole])
    ]


def bias(headers: Sequence[ProgramHeader], base: int) -> int:
    """What to add to a linked address: 0 for an executable linked at its place, the base for a shared object."""
    first = next((h for h in headers if h.kind == PT_LOAD), None)
    return base if first is None else base - (first.address & ~0xFFF)


def notes(data: Bytes) -> Iterator[Tuple[str, int, Bytes, int]]:
    """(owner, type, description, where the next begins) of each whole note; stops at the first that does not fit."""
    position, end = 0, len(data)
    while position + 12 <= end:
        name_size, size, kind = _NOTE.unpack_from(data, position)
        body = position + 12 + ((name_size + 3) & ~3)
        if body + size > end:
            return
        owner = bytes(data[position + 12 : position + 12 + min(name_size, 32)]).rstrip(b"\0")
        position = body + ((size + 3) & ~3)
        yield owner.decode("ascii", "replace"), kind, data[body : body + size], position


def build_id(data: Bytes) -> Optional[str]:
    """NT_GNU_BUILD_ID among the notes of a module, as lower-case hex; None when there is none or it is absurd."""
    for owner, kind, body, _ in notes(data):
        if owner == "GNU" and kind == NT_GNU_BUILD_ID and 4 <= len(body) <= 64:
            return bytes(body).hex()
    return None
