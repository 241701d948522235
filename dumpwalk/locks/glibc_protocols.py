"""Robust, priority-inheriting and priority-protecting mutexes of glibc: the same 40 bytes, another word in front.

Source: glibc sysdeps/nptl/bits/struct_mutex.h, nptl/pthreadP.h (kind bits 0x10 robust, 0x20 inherit, 0x40 protect), nptl/
pthread_mutex_lock.c. Robust and inheriting ones have the owner's tid in the low 30 bits of `__lock` (FUTEX_TID_MASK of
include/uapi/linux/futex.h), bit 31 says that someone waits, bit 30 that an owner died; protecting ones have the ceiling in bits
19 and up over the plain 0, 1, 2. All keep the tid in `__owner` too. Seen in glibc 2.36.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.locks.state import LockState, Word

ROBUST, INHERIT, PROTECT = 0x10, 0x20, 0x40
FUTEX_WAITERS = 0x80000000
FUTEX_OWNER_DIED = 0x40000000
FUTEX_TID_MASK = 0x3FFFFFFF

_HEAD = struct.Struct("<IIIII")
_TYPE = 0x3
_OTHER_BITS = 0x80 | 0x100 | 0x200
"""process-shared (set in every robust one, private or not) and the two elision bits."""
_CEILING_SHIFT = 19
_TID_LIMIT = 1 << 22
_COUNT_LIMIT = 1 << 20
_NAMES = {ROBUST: "robust", INHERIT: "priority-inheriting", PROTECT: "priority-protecting"}


def read(memory: Memory, address: int) -> Optional[LockState]:
    """The mutex at `address`, or None when what is there cannot be one of these three."""
    data = memory.read(address, 40)
    if data is None or address & 3:
        return None
    lock, count, owner, users, kind = _HEAD.unpack_from(data)
    protocol = kind & (ROBUST | INHERIT | PROTECT)
    if not protocol or protocol & PROTECT and protocol != PROTECT or kind & ~(protocol | _TYPE | _OTHER_BITS):
        return None
    if count > _COUNT_LIMIT or users > _COUNT_LIMIT or owner >= _TID_LIMIT:
        return None
    holder = _holder(lock, owner, users, protocol)
    if holder is None:
        return None
    recursive = kind & _TYPE == 1
    word = Word("owner", address + 8, owner)
    said = " and ".join(name for bit, name in _NAMES.items() if protocol & bit)
    words = [
        Word("lock", address, lock, reading=_reading(lock, protocol)),
        Word("count", address + 4, count),
        word,
        Word("kind", address + 16, kind, reading=said),
    ]
    return LockState(
        address=address,
        implementation="glibc-mutex",
        locked=holder != 0,
        owner_tid=holder or None,
        recursion=count if recursive else None,
        mutex=address,
        size=40,
        recursive=recursive,
        owner_word=word if holder else None,
        words=tuple(words),
    )


def _holder(lock: int, owner: int, users: int, protocol: int) -> Optional[int]:
    """The owner's tid, 0 for a free one; None where the words contradict each other."""
    if protocol == PROTECT:
        if lock & ((1 << _CEILING_SHIFT) - 1) > 2 or not 0 < lock >> _CEILING_SHIFT < 100:
            return None
        held = lock & 3 != 0
        return None if held and not (owner and users) or not held and owner else owner
    tid = lock & FUTEX_TID_MASK
    if tid >= _TID_LIMIT:
        return None
    if tid == 0:
        return 0 if not owner else None
    return tid if owner == tid and users else None


def _reading(lock: int, protocol: int) -> str:
    if protocol == PROTECT:
        return f"{lock & 3} under the ceiling {lock >> _CEILING_SHIFT}"
    said = f"its low 30 bits are tid {lock & FUTEX_TID_MASK}"
    if lock & FUTEX_WAITERS:
        said += ", bit 31: waiters"
    return said + (", bit 30: an owner died" if lock & FUTEX_OWNER_DIED else "")
