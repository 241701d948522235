"""The one reader of Mach-O load commands, over bytes that come from a file or from a process's memory. 64-bit only.

Source: mach-o/loader.h (mach_header_64, load_command, segment_command_64, uuid_command).
"""

from __future__ import annotations

import struct
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

MAGIC = b"\xcf\xfa\xed\xfe"
MH_EXECUTE, MH_DYLIB, MH_DYLINKER, MH_BUNDLE = 2, 6, 7, 8
LC_SYMTAB, LC_SEGMENT_64, LC_UUID, LC_ID_DYLIB, LC_ID_DYLINKER = 0x2, 0x19, 0x1B, 0xD, 0xF
LC_CHAINED_FIXUPS = 0x80000034
PAGEZERO, TEXT, LINKEDIT = "__PAGEZERO", "__TEXT", "__LINKEDIT"
_COMMANDS, _COMMAND_BYTES = 10_000, 4 << 20

Read = Callable[[int, int], Optional[bytes]]
"""(offset from the Mach header, size): the bytes; fewer at the end of a file, None where memory is not captured."""


class Header(NamedTuple):
    filetype: int
    flags: int
    commands: List[Tuple[int, bytes]]
    """(kind, the whole command) of each that fits."""


class Segment(NamedTuple):
    name: str
    address: int
    """As linked."""
    size: int
    offset: int
    """In the file, or in its slice."""
    file_size: int
    protection: int
    """Initial: 2 writable, 4 executable."""


def header(read: Read) -> Optional[Header]:
    """The image's header with its load commands; None where there is none, or it makes no sense, or is not all there."""
    head = read(0, 32)
    if head is None or len(head) < 32 or head[:4] != MAGIC:
        return None
    filetype, count, length, flags = struct.unpack_from("<IIII", head, 12)
    if not 0 < count <= _COMMANDS or not 8 <= length <= _COMMAND_BYTES:
        return None
    data = read(32, length)
    if data is None or len(data) != length:
        return None
    return Header(filetype, flags, list(_commands(data, count)))


def _commands(data: bytes, count: int) -> Iterator[Tuple[int, bytes]]:
    position = 0
    for _ in range(count):
        if position + 8 > len(data):
            return
        kind, size = struct.unpack_from("<II", data, position)
        if size < 8 or position + size > len(data):
            return
        yield kind, data[position : position + size]
        position += size


def segments(found: Header) -> List[Segment]:
    """Its LC_SEGMENT_64 commands, in order."""
    rows = []
    for kind, body in found.commands:
        if kind == LC_SEGMENT_64 and len(body) >= 72:
            name = body[8:24].rstrip(b"\0").decode("ascii", "replace")
            address, size, offset, file_size = struct.unpack_from("<QQQQ", body, 24)
            (protection,) = struct.unpack_from("<I", body, 60)
            rows.append(Segment(name, address, size, offset, file_size, protection))
    return rows


def uuid(found: Header) -> Optional[str]:
    """Lower-case hex without dashes."""
    return next((body[8:24].hex() for kind, body in found.commands if kind == LC_UUID and len(body) >= 24), None)
