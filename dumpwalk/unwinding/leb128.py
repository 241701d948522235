"""A cursor over bytes that were read from a dump: fixed-size and LEB128 numbers, never past the end."""

from __future__ import annotations

_LONGEST = 10
"""Bytes of a LEB128 number of 64 bits."""


class Cursor:
    """Every method raises ValueError where the bytes end."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def unsigned(self, size: int) -> int:
        end = self.at + size
        if end > len(self.data):
            raise ValueError("the data ends")
        value = int.from_bytes(self.data[self.at : end], "little")
        self.at = end
        return value

    def signed(self, size: int) -> int:
        value = self.unsigned(size)
        return value - (1 << 8 * size) if value >> (8 * size - 1) else value

    def uleb(self) -> int:
        value = 0
        for shift in range(0, 7 * _LONGEST, 7):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number of more than 64 bits")

    def sleb(self) -> int:
        value = 0
        for shift in range(0, 7 * _LONGEST, 7):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value - (1 << shift + 7) if byte & 0x40 else value
        raise ValueError("a number of more than 64 bits")

    def block(self) -> bytes:
        """A ULEB128 length and that many bytes."""
        size = self.uleb()
        end = self.at + size
        if end > len(self.data):
            raise ValueError("the data ends")
        data = self.data[self.at : end]
        self.at = end
        return data

    def skip(self, distance: int) -> None:
        at = self.at + distance
        if not 0 <= at <= len(self.data):
            raise ValueError("a jump out of the data")
        self.at = at

    def string(self) -> bytes:
        """Up to a NUL."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise ValueError("the data ends")
        data = self.data[self.at : end]
        self.at = end + 1
        return data
