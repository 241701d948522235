"""A Mach-O module file on this machine: the UUID of each slice, and the read-only segments of one.

Sources: mach-o/fat.h (fat_header and fat_arch are big-endian), mach-o/loader.h. Symbols: coreclr/image_macho.py.
"""

from __future__ import annotations

import struct
from typing import IO, List, NamedTuple, Optional

from dumpwalk.images import macho
from dumpwalk.images.image_memory import FileRange, open_regular
from dumpwalk.images.macho import LINKEDIT, MH_BUNDLE, MH_DYLIB, MH_DYLINKER, MH_EXECUTE, PAGEZERO, TEXT

_FAT, _FAT_64 = b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"
_MAX_SLICES = 32
_CODE = (MH_EXECUTE, MH_DYLIB, MH_DYLINKER, MH_BUNDLE)


class Slice(NamedTuple):
    offset: int
    """In the file; 0 for a thin file."""
    uuid: Optional[str]
    """Lower-case hex without dashes."""


def slices(stream: IO[bytes], size: int) -> List[Slice]:
    """The 64-bit slices with code of a file (or of its first `size` bytes); empty for what is no Mach-O, and for a dSYM's."""
    stream.seek(0)
    head = stream.read(8 + 32 * _MAX_SLICES)
    offsets: List[int] = []
    if head[:4] == macho.MAGIC:
        offsets = [0]
    elif head[:4] in (_FAT, _FAT_64) and len(head) >= 8:
        (count,) = struct.unpack_from(">I", head, 4)
        layout = struct.Struct(">IIIII" if head[:4] == _FAT else ">IIQQII")
        for index in range(min(count, _MAX_SLICES)):  # a Java class file has the same magic: it fails the next test
            if 8 + (index + 1) * layout.size <= len(head):
                offsets.append(layout.unpack_from(head, 8 + index * layout.size)[2])
    found = []
    for offset in offsets:
        if not 0 <= offset < size:
            continue
        header = macho.header(_reader(stream, offset))
        if header is not None and header.filetype in _CODE and any(r.name == TEXT for r in macho.segments(header)):
            found.append(Slice(offset, macho.uuid(header)))
    return found


def read_only_ranges(file: str, base: int, uuid: Optional[str]) -> List[FileRange]:
    """Segments that dyld never writes, but __LINKEDIT, of the slice with this UUID or the only one. Raises OSError."""
    with open_regular(file) as stream:
        size = stream.seek(0, 2)
        known = slices(stream, size)
        chosen = next((s for s in known if s.uuid == uuid), known[0] if len(known) == 1 and uuid is None else None)
        if chosen is None:
            return []
        header = macho.header(_reader(stream, chosen.offset))
    rows = macho.segments(header) if header is not None else []
    text = next((row for row in rows if row.name == TEXT), None)
    if text is None:
        return []
    slide = base - text.address
    return [
        FileRange(r.address + slide, chosen.offset + r.offset, min(r.size, r.file_size), bool(r.protection & 4))
        for r in rows
        if not r.protection & 2 and r.name not in (PAGEZERO, LINKEDIT) and 0 <= r.address + slide < 1 << 64
    ]


def _reader(stream: IO[bytes], start: int) -> macho.Read:
    def read(offset: int, size: int) -> bytes:
        stream.seek(start + offset)
        return stream.read(size)

    return read
