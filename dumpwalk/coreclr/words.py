"""Typed reads of the runtime's memory, where what is not captured is a reason and never a value.

`Words` is used inside the readers of managed code and objects: a read that fails raises NotRead with a sentence, and the
facade (managed.py) turns that into `Unknown`. Pages are kept, so that tables that many questions meet are read once.
"""

from __future__ import annotations

import struct
from typing import Dict, List, Optional, Tuple

from dumpwalk.core.memory import Memory, for_search, is_captured, marker, read_around
from dumpwalk.dataclass import dataclass

_PAGE = 0x1000
_PAGES_KEPT = 8192
_U16, _U32, _I32, _U64 = (struct.Struct(form) for form in ("<H", "<I", "<i", "<Q"))
_TOP = 1 << 57
"""The runtime's own maps of addresses go no higher (codeman.h, RangeSectionMap)."""


class NotRead(Exception):
    """What was asked for cannot be told. `absent`: memory shows that there is none, as against "it is not captured"."""

    def __init__(self, why: str, absent: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.absent = absent


@dataclass(frozen=True)
class Unknown:
    """An answer that could not be given. Falsy."""

    why: str
    """A sentence part without a full stop: what lacked, with its address."""
    absent: bool = False
    """Memory shows that there is no such thing; False: it may exist, and could not be read."""

    def __bool__(self) -> bool:
        return False


class Words:
    """Little-endian reads over a Memory. Every method raises NotRead where bytes are not captured."""

    def __init__(self, memory: Memory, source: str = "dump") -> None:
        self._memory = memory
        self._source = source
        self._pages: Dict[int, Optional[bytes]] = {}
        self._mark = marker(memory)

    def take(self, address: int, size: int, what: str = "memory") -> bytes:
        """`size` bytes; `what` names them in the reason."""
        data = self._bytes(address, size, what)
        if self._mark is not None:
            self._mark(address, size)
        return data

    def _bytes(self, address: int, size: int, what: str) -> bytes:
        at = address & 0xFFF
        if 0 < size <= _PAGE - at:
            page = self._page(address - at)
            if page is not None:
                return page[at : at + size]
        data = read_around(self._memory, address, size) if size > 0 and 0 < address < _TOP else None
        if data is None:
            raise NotRead(f"{what} at 0x{address:x} is not in the {self._source}")
        return data

    def _page(self, start: int) -> Optional[bytes]:
        try:
            return self._pages[start]
        except KeyError:
            if len(self._pages) >= _PAGES_KEPT:
                self._pages.clear()
            page = read_around(self._memory, start, _PAGE) if 0 < start < _TOP else None
            self._pages[start] = page
            return page

    def holds(self, address: int, size: int = 1) -> bool:
        """Whether these bytes are captured."""
        try:
            self.take(address, size)
        except NotRead:
            return False
        return True

    def captured(self, start: int, end: int) -> bool:
        """The same of much memory, which is not read for it."""
        return 0 < start <= end < _TOP and is_captured(self._memory, start, end)

    def swept(self, address: int, size: int) -> Tuple[bytes, bool]:
        """(`size` bytes for a search, 0xFF where a page is not captured; whether all are), none of which a recording keeps:
        what is found has to be taken before it is believed."""
        memory = for_search(self._memory)
        data = memory.read(address, size) if size > 0 and 0 < address < _TOP else b""
        if data is not None:
            return data, True
        pieces: List[bytes] = []
        at = address
        while at < address + size:
            stop = min((at & ~(_PAGE - 1)) + _PAGE, address + size)
            pieces.append(memory.read(at, stop - at) or b"\xff" * (stop - at))
            at = stop
        return b"".join(pieces), False

    def u8(self, address: int, what: str = "memory") -> int:
        return self.take(address, 1, what)[0]

    def u16(self, address: int, what: str = "memory") -> int:
        return int(_U16.unpack(self.take(address, 2, what))[0])

    def u32(self, address: int, what: str = "memory") -> int:
        return int(_U32.unpack(self.take(address, 4, what))[0])

    def i32(self, address: int, what: str = "memory") -> int:
        return int(_I32.unpack(self.take(address, 4, what))[0])

    def u64(self, address: int, what: str = "memory") -> int:
        return int(_U64.unpack(self.take(address, 8, what))[0])

    def pointer(self, address: int, what: str = "memory") -> int:
        """A pointer that is not null and may be one; `what` names what it leads to."""
        value = self.u64(address, f"the pointer to {what}")
        if value == 0:
            raise NotRead(f"the pointer to {what} at 0x{address:x} is null", absent=True)
        if not 0x1000 <= value < _TOP:
            raise NotRead(f"the pointer to {what} at 0x{address:x} is 0x{value:x}, which is no address")
        return value

    def many(self, address: int, count: int, what: str = "memory") -> Tuple[int, ...]:
        """`count` 64-bit words."""
        return struct.unpack(f"<{count}Q", self.take(address, 8 * count, what))

    def text(self, address: int, most: int, what: str = "text") -> bytes:
        """A NUL-terminated string without its NUL; one longer than `most` bytes is no such string."""
        parts = []
        at, left = address, most + 1
        while left > 0:
            size = min(left, _PAGE - (at & 0xFFF))
            try:
                data = self._bytes(at, size, what)
            except NotRead:
                data = self._bytewise(at, size, what)
            end = data.find(b"\0")
            if end >= 0:
                parts.append(data[:end])
                found = b"".join(parts)
                if self._mark is not None:
                    self._mark(address, len(found) + 1)
                return found
            parts.append(data)
            at, left = at + size, left - size
        raise NotRead(f"{what} at 0x{address:x} does not end within {most} bytes")

    def _bytewise(self, address: int, size: int, what: str) -> bytes:
        """Up to the NUL, where the captured run ends before the page does."""
        data = b""
        while len(data) < size and not data.endswith(b"\0"):
            data += self._bytes(address + len(data), 1, what)
        return data
