"""pthread_mutex_t of glibc, x64 (40 bytes) and arm64 (48): the first 20 bytes are the same.

Source: glibc sysdeps/nptl/bits/struct_mutex.h (`__lock` +0, `__count` +4, `__owner` +8, `__nusers` +0xC, `__kind` +0x10) and
nptl/pthreadP.h (kinds). `__lock` is 0 free, 1 locked, 2 locked and perhaps waited for; 2 does not prove a waiter now.
`__owner` is a kernel tid and is kept for every kind but elided ones; it is 0 when free.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.locks.state import LockState, Word

_HEAD = struct.Struct("<iIiIi")
_KIND_MASK = 3
_SHARED = 0x80
_KNOWN_KIND_BITS = 0x3 | 0x10 | 0x20 | 0x80 | 0x100 | 0x200
"""type, robust, priority inherit, process-shared, and the two elision bits."""
_TID_LIMIT = 1 << 22
"""PID_MAX_LIMIT of Linux on 64-bit (include/linux/threads.h)."""


def read(memory: Memory, address: int) -> Optional[LockState]:
    """The mutex at `address`, or None when what is there cannot be one."""
    data = memory.read(address, _HEAD.size)
    if data is None or address & 3:
        return None
    lock, count, owner, users, kind = _HEAD.unpack(data)
    if lock not in (0, 1, 2) or kind & ~_KNOWN_KIND_BITS or not 0 <= owner < _TID_LIMIT:
        return None
    recursive = kind & _KIND_MASK == 1
    if count > 1 << 20 or users > 1 << 20 or (lock == 0 and (owner or (recursive and count))):
        return None
    if recursive and lock and (not owner or not count):
        return None
    if owner and not users:
        return None  # a held mutex counts its owner; libc's own int locks (malloc's arenas) wait in the same way and do not
    owner_word = Word("owner", address + 8, owner)
    return LockState(
        address=address,
        implementation="glibc-mutex",
        locked=lock != 0,
        owner_tid=owner or None,
        recursion=count if recursive else None,
        mutex=address,
        size=40,
        recursive=recursive,
        shared=bool(kind & _SHARED),
        owner_word=owner_word,
        words=(
            Word("lock", address, lock),
            Word("count", address + 4, count),
            owner_word,
            Word("kind", address + 16, kind),
        ),
    )
