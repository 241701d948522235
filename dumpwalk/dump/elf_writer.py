"""Writes an ELF core of chosen memory. Gaps stay known: their segments claim memory and hold no bytes, as the kernel's do.

A part that does not begin a segment of the process names the one that it belongs to in p_paddr, which cores do not use.

Layouts: System V gABI (Elf64_Ehdr, Elf64_Phdr, notes; PN_XNUM of the Linux ABI: elf(5)).
"""

from __future__ import annotations

import struct
from typing import IO, List

from dumpwalk.core.corefile import CoreFile
from dumpwalk.dump import evidence_note
from dumpwalk.dump.elf_core import program_headers
from dumpwalk.dump.kept_memory import Content, Note, Part, placed
from dumpwalk.images.elf import PHDR, PT_LOAD, PT_NOTE, notes

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_IDENT = b"\x7fELF\x02\x01\x01"
_OSABI = 7
_ET_CORE = 4
_MACHINES = {"x86_64": 62, "aarch64": 183}
_XNUM = 0xFFFF
_PAGE = 0x1000


def notes_of(core: CoreFile) -> List[Note]:
    """All whole notes of an ELF core, in order, byte for byte; not the one that an evidence core has of its own. Raises
    OSError."""
    found: List[Note] = []
    with open(core.file, "rb") as stream:
        size = stream.seek(0, 2)
        _, headers, _ = program_headers(core.path, stream, size)
        for header in headers:
            if header.kind == PT_NOTE and header.offset < size:
                stream.seek(header.offset)
                data = memoryview(stream.read(min(header.file_size, size)))
                found += [Note(owner, kind, bytes(body)) for owner, kind, body, _ in notes(data)]
    return [n for n in found if (n.owner, n.kind) != (evidence_note.ELF_OWNER, evidence_note.ELF_TYPE)]


def system_of(core: CoreFile) -> int:
    """EI_OSABI: by it, or by a note of owner LINUX, lldb knows what system's core it is. Raises OSError."""
    with open(core.file, "rb") as stream:
        return stream.read(_OSABI + 1)[_OSABI]


def write(stream: IO[bytes], content: Content, system: int = 3) -> None:
    """The core, to a new file that is open for reading and writing. `system` is its EI_OSABI, 3 for Linux. Raises OSError."""
    told = evidence_note.pack(content.told)
    own = Note(evidence_note.ELF_OWNER, evidence_note.ELF_TYPE, told)
    note_data = b"".join(_note(note) for note in (*content.notes, own))
    parts = content.parts()
    count = len(parts) + 1
    many = count >= _XNUM
    note_at = _HEADER.size + PHDR.size * count + (_SECTION.size if many else 0)
    position = note_at + len(note_data)
    rows = [PHDR.pack(PT_NOTE, 4, note_at, 0, 0, len(note_data), 0, 4)]
    places: List[int] = []
    for part in parts:
        position = placed(position, part)
        places.append(position)
        rows.append(_row(part, position))
        position += part.held
    stream.write(_header(content.arch, system, count, many))
    stream.write(b"".join(rows))
    if many:
        stream.write(_SECTION.pack(0, 0, 0, 0, 0, 1, 0, count, 0, 0))
    stream.write(note_data)
    for part, place in zip(parts, places):
        if part.held:
            stream.seek(place)
            for data in content.bytes_of(part):
                stream.write(data)
    stream.flush()
    evidence_note.seal(stream, note_at + note_data.rindex(told), told)


def _header(arch: str, system: int, count: int, many: bool) -> bytes:
    sections = _HEADER.size + PHDR.size * count if many else 0
    return _HEADER.pack(
        _IDENT + bytes([system]), _ET_CORE, _MACHINES[arch], 1, 0, _HEADER.size, sections, 0, _HEADER.size, PHDR.size,
        _XNUM if many else count, _SECTION.size if many else 0, int(many), 0,
    )  # fmt: skip


def _row(part: Part, position: int) -> bytes:
    held = part.segment
    flags = held.readable << 2 | held.writable << 1 | held.executable
    whole = held.start if part.start != held.start else 0
    return PHDR.pack(PT_LOAD, flags, position, part.start, whole, part.held, part.end - part.start, _PAGE)


def _note(note: Note) -> bytes:
    name = note.owner.encode("ascii", "replace") + b"\0"
    padded = name.ljust(-(-len(name) // 4) * 4, b"\0")
    return struct.pack("<III", len(name), len(note.body), note.kind) + padded + note.body + bytes(-len(note.body) % 4)
