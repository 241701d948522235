"""The read-only bytes of a module file as memory at the module's load address: code and constants, never data."""

from __future__ import annotations

import mmap
import os
import stat
from bisect import bisect_right
from typing import IO, NamedTuple, Optional, Sequence

from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Buffer, Extent


class FileRange(NamedTuple):
    address: int
    """Load address."""
    offset: int
    """In the file."""
    size: int
    executable: bool


class ImageMemory:
    """Implements memory.Memory. The file is mapped at the first read; one that cannot be mapped holds nothing."""

    def __init__(self, file: str, ranges: Sequence[FileRange]) -> None:
        self._file = file
        self._ranges = sorted(r for r in ranges if r.size > 0)
        self._starts = [r.address for r in self._ranges]
        self._map: Optional[Buffer] = None
        self._size = 0

    def extent(self, address: int) -> Optional[Extent]:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        found = self._ranges[index]
        if address >= found.address + found.size:
            return None
        if self._map is None:
            self._open()
        end = found.address + min(found.size, max(0, self._size - found.offset))
        if address >= end or self._map is None:
            return None
        return (found.address, end, self._map, found.address - found.offset)

    def read(self, address: int, size: int) -> Optional[bytes]:
        found = self.extent(address)
        if found is None or size <= 0 or address + size > found[1]:
            return None
        return bytes(found[2][address - found[3] : address - found[3] + size])

    def segments(self) -> Sequence[Segment]:
        return [
            Segment(r.address, r.address + r.size, r.offset, r.size, True, False, r.executable) for r in self._ranges
        ]

    def _open(self) -> None:
        try:
            with open_regular(self._file) as stream:
                self._size = stream.seek(0, 2)
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if self._size else b""
        except (OSError, ValueError):
            self._map = b""

    def close(self) -> None:
        if isinstance(self._map, mmap.mmap):
            self._map.close()


def open_regular(path: str) -> IO[bytes]:
    """Open a regular file, never waiting for a pipe or a device. Raises OSError, ValueError (NUL in the path)."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is not a regular file")
        return os.fdopen(handle, "rb")
    except OSError:
        os.close(handle)
        raise
