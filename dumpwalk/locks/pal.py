"""The PAL's CRITICAL_SECTION, the lock inside every Crst of .NET Core 3.1 and .NET 5 to 9.

Source: src/pal/src/sync/cs.cpp (3.1) and src/coreclr/pal/src/sync/cs.cpp (PALCS_* constants, PAL_CRITICAL_SECTION):
LockCount i32 +8 (bit 0 locked, bit 1 a waiter was awakened, waiters in the rest), RecursionCount i32 +0xC, OwningThread u64
+0x10 (the OS thread id). 3.1 has LockSemaphore +0x18, SpinCount +0x20, dwInitState +0x2C; 5 to 9 have SpinCount +0x18,
dwInitState +0x20. Waiters block on the condition variable; its place depends on the size of the pthread mutex before it.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.locks.state import LockState, Word

_LOCKED = 1
_AWAKENED = 2
_STATES = (1, 2, 3)
"""dwInitState: initialised by the user, being completed, with its native parts."""


def read(memory: Memory, address: int, old: bool, mutex: int, condition: int, size: int) -> Optional[LockState]:
    """The critical section at `address`, or None when what is there cannot be one.

    `old` selects 3.1's fields; `mutex` and `condition` are offsets of the native parts, `size` its whole size in bytes.
    """
    data = memory.read(address, 0x30)
    if data is None or address & 7:
        return None
    lock_count, recursion, owner = struct.unpack_from("<iiQ", data, 8)
    state = struct.unpack_from("<i", data, 0x2C if old else 0x20)[0]
    if state not in _STATES or not 0 <= lock_count < 1 << 24 or not 0 <= recursion < 1 << 20 or owner >> 48:
        return None
    locked = bool(lock_count & _LOCKED)
    if locked != bool(owner) and owner:
        return None
    owner_word = Word("OwningThread", address + 0x10, owner, 8)
    return LockState(
        address=address,
        implementation="pal-critical-section",
        locked=locked,
        owner_tid=owner or None,
        recursion=recursion,
        mutex=address + mutex,
        condition=address + condition,
        size=size,
        waiters=lock_count >> 2,
        recursive=True,
        ready=state == 3,
        awakened=bool(lock_count & _AWAKENED),
        owner_word=owner_word,
        words=(
            Word("LockCount", address + 8, lock_count),
            Word("RecursionCount", address + 0xC, recursion),
            owner_word,
        ),
    )
