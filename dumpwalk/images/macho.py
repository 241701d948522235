"""The one reader of Mach-O load commands, over bytes that come from a file or from a process's memory. 64-bit only.

Source: mach-o/loader.h (mach_header_64, load_command, segment_command_64, uuid_command).
"""

from __future__ import annotations

import struct
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple, Union

MAGIC = b"\xcf\xfa\xed\xfe"
MH_EXECUTE, MH_DYLIB, MH_DYLINKER, MH_BUNDLE = 2, 6, 7, 8
LC_THREAD, LC_NOTE = 0x4, 0x31
LC_SYMTAB, LC_SEGMENT_64, LC_UUID, LC_ID_DYLIB, LC_ID_DYLINKER = 0x2, 0x19, 0x1B, 0xD, 0xF
LC_CHAINED_FIXUPS = 0x80000034
PAGEZERO, TEXT, LINKEDIT = "__PAGEZERO", "__TEXT", "__LINKEDIT"
_COMMANDS, _COMMAND_BYTES = 10_000, 4 << 20

Read = Callable[[int, int], Optional[bytes]]
"""(offset from the Mach header, size): the bytes; fewer at the end of a file, None where memory is not captured."""


class Bad(ValueError):
    """A load command that cannot be: the words say which and why."""


class Start(NamedTuple):
    """mach_header_64."""

    cputype: int
    cpusubtype: int
    filetype: int
    ncmds: int
    sizeofcmds: int
    flags: int


class Note(NamedTuple):
    """LC_NOTE of a core: whose it is, and where its bytes are in the file."""

    owner: str
    offset: int
    size: int


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
    """Initial: 1 readable, 2 writable, 4 executable."""


def header(read: Read) -> Optional[Header]:
    """The image's header with its load commands; None where there is none, or it makes no sense, or is not all there."""
    head = read(0, 32)
    if head is None or len(head) < 32 or head[:4] != MAGIC:
        return None
    told = start(head)
    if not 0 < told.ncmds <= _COMMANDS or not 8 <= told.sizeofcmds <= _COMMAND_BYTES:
        return None
    data = read(32, told.sizeofcmds)
    if data is None or len(data) != told.sizeofcmds:
        return None
    whole: List[Tuple[int, bytes]] = []
    try:
        whole.extend((kind, bytes(body)) for kind, body in commands(data, told.ncmds))
    except Bad:
        pass  # those before it are as good as they were
    return Header(told.filetype, told.flags, whole)


def start(head: bytes) -> Start:
    """The header's words, of 32 bytes that begin with the magic number; believed by nobody yet."""
    return Start(*struct.unpack_from("<6I", head, 4))


def commands(
    data: Union[bytes, memoryview], count: int, aligned: int = 1
) -> Iterator[Tuple[int, Union[bytes, memoryview]]]:
    """(kind, the whole command) of each of `count` load commands, whose sizes are multiples of `aligned`. Raises Bad at the first
    that lies outside of the data or is too short to be one."""
    position = 0
    for index in range(count):
        if position + 8 > len(data):
            raise Bad(f"load command {index} lies outside of its headers")
        kind, size = struct.unpack_from("<II", data, position)
        if size < 8 or size % aligned or position + size > len(data):
            raise Bad(f"load command {index} claims {size} bytes")
        yield kind, data[position : position + size]
        position += size


def segment(body: Union[bytes, memoryview]) -> Segment:
    """One LC_SEGMENT_64. Raises Bad where it is too short to be one."""
    if len(body) < 72:
        raise Bad(f"a segment command of {len(body)} bytes")
    address, size, offset, file_size = struct.unpack_from("<QQQQ", body, 24)
    (protection,) = struct.unpack_from("<I", body, 60)
    return Segment(_name(body), address, size, offset, file_size, protection)


def note(body: Union[bytes, memoryview]) -> Optional[Note]:
    """One LC_NOTE; None where it is too short to be one."""
    return Note(_name(body), *struct.unpack_from("<QQ", body, 24)) if len(body) >= 40 else None


def _name(body: Union[bytes, memoryview]) -> str:
    return bytes(body[8:24]).rstrip(b"\0").decode("ascii", "replace")


def segments(found: Header) -> List[Segment]:
    """Its LC_SEGMENT_64 commands, in order."""
    return [segment(body) for kind, body in found.commands if kind == LC_SEGMENT_64 and len(body) >= 72]


def uuid(found: Header) -> Optional[str]:
    """Lower-case hex without dashes."""
    return next((body[8:24].hex() for kind, body in found.commands if kind == LC_UUID and len(body) >= 24), None)
