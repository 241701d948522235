"""An object's header word, at -4: thin lock, hash code or sync block.

Source: src/coreclr/vm/syncblk.h (BIT_SBLK_IS_HASH_OR_SYNCBLKINDEX and the thin lock's masks; 3.1 has 10 bits for the
managed thread's id, 8 and later 16).
"""

from __future__ import annotations

from typing import List, Optional

from dumpwalk.dataclass import dataclass

_HASH_OR_BLOCK, _HASH = 0x08000000, 0x04000000
_INDEX = (1 << 26) - 1
_SPIN, _GC, _FINALIZER = 0x10000000, 0x20000000, 0x40000000
_OLD_ID, _OLD_LEVEL_BITS = 0x3FF, 10
_ID, _LEVEL_BITS = 0xFFFF, 16
_LEVELS = 0x3F


@dataclass(frozen=True)
class Header:
    word: int
    owner: Optional[int]
    """Managed id of the thread that holds the thin lock."""
    recursion: int
    """Times the thin lock is held beyond the first."""
    sync_block: Optional[int]
    """Index of the sync block, which then holds the lock's state."""
    hash_code: Optional[int]

    def phrase(self) -> str:
        """What it says, in words."""
        if self.sync_block is not None:
            return f"sync block {self.sync_block}, which holds the state of its lock"
        if self.hash_code is not None:
            return f"hash code 0x{self.hash_code:x}; not locked"
        if self.owner is not None:
            again = f", {self.recursion + 1} times" if self.recursion else ""
            return f"thin lock held by managed thread {self.owner}{again}"
        return "not locked"


def thin_locks(owner: int, major: Optional[int]) -> List[int]:
    """Header words of a thin lock that this managed thread holds, once or again, without any other bit; none for a number that
    a header has no room for."""
    old = major is not None and major < 8
    if not 0 < owner <= (_OLD_ID if old else _ID):
        return []
    return [owner | level << (_OLD_LEVEL_BITS if old else _LEVEL_BITS) for level in range(_LEVELS + 1)]


def decode(word: int, major: Optional[int]) -> Header:
    """The parts of a header word; up to 7 the thin lock has 3.1's form, unless the version is not known."""
    if word & _HASH_OR_BLOCK:
        value = word & _INDEX
        if word & _HASH:
            return Header(word, None, 0, None, value)
        return Header(word, None, 0, value, None)
    old = major is not None and major < 8
    owner = word & (_OLD_ID if old else _ID)
    level = word >> (_OLD_LEVEL_BITS if old else _LEVEL_BITS) & _LEVELS
    return Header(word, owner or None, level if owner else 0, None, None)
