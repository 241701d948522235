"""pthread_mutex_t of macOS (64 bytes), libpthread 218 to 539.

Source: apple-oss-distributions/libpthread src/internal.h, pthread_mutex.c: signature i64 +0 ('MUTX' recursive or slow,
'MUTZ' fast normal, in the low 32 bits), options +0xC (type in bits 2-3, lock count in bits 16-31), m_tid u64 +0x18, the sequence
words lgen +0x20 and ugen +0x24: bit 1 of lgen is "locked", waiters are (lgen - ugen) in units of 0x100. m_tid is the
system-wide 64-bit thread id; dumps hold its low 32 bits (createdump's THREADINFO), so only those are compared.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.locks.state import LockState, Word

_SLOW = 0x4D555458
_FAST = 0x4D55545A
_SWITCHING = 0xFFFFFFFFFFFFFFFF
_LOCKED = 2
_UNIT = 0x100


def read(memory: Memory, address: int) -> Optional[LockState]:
    """The mutex at `address`, or None when what is there cannot be one."""
    data = memory.read(address, 0x28)
    if data is None or address & 7:
        return None
    signature = struct.unpack_from("<I", data)[0]
    if signature not in (_SLOW, _FAST):
        return None
    options = struct.unpack_from("<I", data, 0xC)[0]
    tid, lgen, ugen = struct.unpack_from("<QII", data, 0x18)
    locked = bool(lgen & _LOCKED)
    known = tid not in (0, _SWITCHING)
    waiting = ((lgen - ugen) & 0xFFFFFFFF) // _UNIT
    recursive = (options >> 2) & 3 == 2
    owner_word = Word("m_tid", address + 0x18, tid, 8)
    return LockState(
        address=address,
        implementation="apple-mutex",
        locked=locked,
        owner_tid=tid if known else None,
        recursion=(options >> 16) or None,
        mutex=address,
        size=64,
        waiters=waiting - 1 if locked and 0 < waiting < 1 << 16 else None,
        recursive=recursive,
        owner_word=owner_word,
        words=(Word("lgen", address + 0x20, lgen), Word("ugen", address + 0x24, ugen), owner_word),
    )
