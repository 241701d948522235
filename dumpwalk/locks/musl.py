"""pthread_mutex_t of musl (40 bytes).

Source: musl src/internal/pthread_impl.h: `_m_type` +0, `_m_lock` +4, `_m_waiters` +8, `_m_count` +0x14, `_m_prev` +0x18,
`_m_next` +0x20. A recursive mutex (type 1) holds the owner's tid in `_m_lock` with bit 31 for waiters and bit 30 for a dead
owner; `_m_waiters` counts them; the depth is `_m_count` + 1; while held it is linked into its owner's list of robust mutexes.
A normal mutex (type 0) holds EBUSY (16) and no owner. Read in musl 1.2.3 and a 10.0.12 core.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.locks.state import LockState, Word

_EBUSY = 16
_OWNER = 0x3FFFFFFF
_TID_LIMIT = 1 << 22


def read(memory: Memory, address: int) -> Optional[LockState]:
    """The mutex at `address`, or None when what is there cannot be one."""
    data = memory.read(address, 40)
    if data is None or address & 7:
        return None
    kind, lock, waiters = struct.unpack_from("<IIi", data)
    count = struct.unpack_from("<i", data, 20)[0]
    if kind & ~0x8F or not 0 <= waiters < 1 << 20 or not 0 <= count < 1 << 20:
        return None
    owner = lock & _OWNER
    recursive = kind & 3 == 1
    before, after = struct.unpack_from("<QQ", data, 24)
    if recursive and owner and not (before and after and not (before | after) & 7):
        return None  # a held one is on its owner's list of robust mutexes; libc's own int locks wait in the same way
    if kind & 3 == 0:
        if owner not in (0, _EBUSY):
            return None
        owner_tid = None
    elif owner >= _TID_LIMIT:
        return None
    else:
        owner_tid = owner or None
    owner_word = (
        Word("_m_lock", address + 4, lock, reading=f"its low 30 bits are tid {owner_tid}") if owner_tid else None
    )
    words = [Word("type", address, kind), Word("_m_lock", address + 4, lock), Word("waiters", address + 8, waiters)]
    return LockState(
        address=address,
        implementation="musl-mutex",
        locked=owner != 0,
        owner_tid=owner_tid,
        recursion=count + 1 if recursive and owner else None,
        mutex=address,
        waiters=waiters,
        recursive=recursive,
        shared=bool(kind & 0x80),
        owner_word=owner_word,
        words=tuple(words),
    )
