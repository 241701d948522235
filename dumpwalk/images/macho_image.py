"""A Mach-O module file on this machine: the UUID of each slice, and the read-only segments of one.

The commands are read by the same code as those of images in a core (macho_images.image_header), over the file's bytes.
Sources: mach-o/fat.h (fat_header and fat_arch are big-endian), mach-o/loader.h. Symbols: coreclr/image_macho.py.
"""

from __future__ import annotations

import struct
from typing import IO, List, NamedTuple, Optional, Sequence, Tuple

from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Extent
from dumpwalk.images.image_memory import FileRange, open_regular
from dumpwalk.images.macho_images import MH_BUNDLE, MH_DYLIB, MH_DYLINKER, MH_EXECUTE, image_header

_MAGIC = b"\xcf\xfa\xed\xfe"
_FAT, _FAT_64 = b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"
_MAX_SLICES = 32
_HEADER_BYTES = (1 << 20) + 32
_LC_SEGMENT_64 = 0x19


class Slice(NamedTuple):
    offset: int
    """In the file; 0 for a thin file."""
    uuid: Optional[str]
    """Lower-case hex without dashes."""
    has_code: bool
    """False for a dSYM's companion file."""


def slices(stream: IO[bytes], size: int) -> List[Slice]:
    """The 64-bit slices of a file (or of its first `size` bytes); empty when it is no Mach-O."""
    stream.seek(0)
    head = stream.read(8 + 32 * _MAX_SLICES)
    offsets: List[int] = []
    if head[:4] == _MAGIC:
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
        stream.seek(offset)
        header = image_header(_Flat(stream.read(min(_HEADER_BYTES, size - offset))), 0)
        if header is not None:
            code = header.filetype in (MH_EXECUTE, MH_DYLIB, MH_DYLINKER, MH_BUNDLE)
            found.append(Slice(offset, header.uuid, code))
    return found


def read_only_ranges(file: str, base: int, uuid: Optional[str]) -> List[FileRange]:
    """Segments that dyld never writes, but __LINKEDIT, of the slice with this UUID or the only one. Raises OSError."""
    with open_regular(file) as stream:
        size = stream.seek(0, 2)
        known = slices(stream, size)
        chosen = next((s for s in known if s.uuid == uuid), known[0] if len(known) == 1 and uuid is None else None)
        if chosen is None:
            return []
        stream.seek(chosen.offset)
        data = stream.read(min(_HEADER_BYTES, size - chosen.offset))
    rows = list(_segments(data))
    text = next((row for row in rows if row[0] == b"__TEXT"), None)
    if text is None:
        return []
    slide = base - text[1]
    return [
        FileRange(address + slide, chosen.offset + offset, held, bool(protection & 4))
        for name, address, offset, held, protection in rows
        if not protection & 2 and name not in (b"__PAGEZERO", b"__LINKEDIT") and 0 <= address + slide < 1 << 64
    ]


def _segments(data: bytes) -> List[Tuple[bytes, int, int, int, int]]:
    """(name, linked address, file offset in the slice, bytes in the file, initial protection)"""
    (count,) = struct.unpack_from("<I", data, 16)
    rows, position = [], 32
    for _ in range(min(count, 4096)):
        if position + 8 > len(data):
            break
        command, size = struct.unpack_from("<II", data, position)
        if size < 8 or position + size > len(data):
            break
        if command == _LC_SEGMENT_64 and size >= 72:
            address, extent, offset, held = struct.unpack_from("<QQQQ", data, position + 24)
            (protection,) = struct.unpack_from("<I", data, position + 60)
            name = data[position + 8 : position + 24].rstrip(b"\0")
            rows.append((name, address, offset, min(extent, held), protection))
        position += size
    return rows


class _Flat:
    """Bytes at address 0, as a Memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, address: int, size: int) -> Optional[bytes]:
        data = self._data[address : address + size]
        return data if size > 0 and len(data) == size else None

    def extent(self, address: int) -> Optional[Extent]:
        return (0, len(self._data), self._data, 0) if 0 <= address < len(self._data) else None

    def segments(self) -> Sequence[Segment]:
        return []
