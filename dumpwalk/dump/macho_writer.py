"""Writes a Mach-O core of chosen memory. Segments hold all that they claim: lldb tests every page of a gap for an image
header. The map of the process's memory stands in the note instead.

Layouts: mach-o/loader.h (mach_header_64, segment_command_64, note_command).
"""

from __future__ import annotations

import struct
from typing import IO, List, NamedTuple, Tuple

from dumpwalk.core.corefile import CoreFile
from dumpwalk.dump import evidence_note
from dumpwalk.dump.kept_memory import Content, Note, Part, placed
from dumpwalk.dump.macho_core import load_commands
from dumpwalk.images import macho

_HEADER = struct.Struct("<8I")
_SEGMENT = struct.Struct("<II16sQQQQiiII")
_NOTE = struct.Struct("<II16sQQ")
_MAGIC, _MH_CORE, _LC_SEGMENT_64, _LC_NOTE = 0xFEEDFACF, 4, 0x19, 0x31


class Commands(NamedTuple):
    """What a core says besides its memory, byte for byte."""

    machine: Tuple[int, int]
    """cputype and cpusubtype."""
    flags: int
    others: List[bytes]
    """Load commands that are neither segments nor notes: the threads."""
    notes: List[Note]


def commands_of(core: CoreFile) -> Commands:
    """Of a Mach-O core; not the note that an evidence core has of its own. Raises OSError."""
    others: List[bytes] = []
    notes: List[Note] = []
    with open(core.file, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        _, kind, subtype, _, _, _, flags, _ = _HEADER.unpack(stream.read(_HEADER.size))
        for command, body in load_commands(core.path, stream, size)[1]:
            found = macho.note(body) if command == _LC_NOTE else None
            if found is not None:
                if found.owner != evidence_note.MACHO_OWNER and found.offset < size:
                    stream.seek(found.offset)
                    notes.append(Note(found.owner, 0, stream.read(min(found.size, size - found.offset))))
            elif command != _LC_SEGMENT_64:
                others.append(bytes(body))
    return Commands((kind, subtype), flags, others, notes)


def write(stream: IO[bytes], content: Content, commands: Commands) -> None:
    """The core, to a new file that is open for reading and writing; of the content's notes those that follow. Raises
    OSError."""
    told = evidence_note.pack(content.told)
    notes = [*content.notes, Note(evidence_note.MACHO_OWNER, 0, told)]
    parts = [part for part in content.parts() if part.held]
    length = _SEGMENT.size * len(parts) + _NOTE.size * len(notes) + sum(map(len, commands.others))
    position = _HEADER.size + length
    rows: List[bytes] = []
    for note in notes:
        name = note.owner.encode("ascii", "replace")[:16].ljust(16, b"\0")
        rows.append(_NOTE.pack(_LC_NOTE, _NOTE.size, name, position, len(note.body)))
        position += len(note.body)
    own_at = position - len(told)
    places: List[int] = []
    for part in parts:
        position = placed(position, part)
        places.append(position)
        rows.append(_row(part, position))
        position += part.held
    count = len(rows) + len(commands.others)
    stream.write(_HEADER.pack(_MAGIC, *commands.machine, _MH_CORE, count, length, commands.flags, 0))
    stream.write(b"".join([*rows[len(notes) :], *commands.others, *rows[: len(notes)]]))
    for note in notes:
        stream.write(note.body)
    for part, place in zip(parts, places):
        stream.seek(place)
        for data in content.bytes_of(part):
            stream.write(data)
    stream.flush()
    evidence_note.seal(stream, own_at, told)


def _row(part: Part, position: int) -> bytes:
    held = part.segment
    protection = held.readable | held.writable << 1 | held.executable << 2
    return _SEGMENT.pack(
        _LC_SEGMENT_64, _SEGMENT.size, bytes(16), part.start, part.held, position, part.held, 7, protection, 0, 0
    )
