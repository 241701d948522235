"""Native locks that a thread holds although nobody waits for them, from the word of memory that names their owner.

The search offers an address where a thread's number stands; here the struct around it is read, and it is a lock only if every
word of it agrees: a number in memory is mostly just a number. What the struct cannot tell from other memory is left to a
second fact (`HeldWord.more`): a Crst's flags word behind it, a variable of a module, its address on the owner's own stack.

Sources: the readers of each library (glibc.py, glibc_protocols.py, rwlocks.py, musl.py, apple.py).
"""

from __future__ import annotations

import struct
from typing import Callable, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, read_u64
from dumpwalk.locks import apple, glibc, glibc_protocols, musl, rwlocks
from dumpwalk.locks.state import LockState

Reader = Callable[[Memory, int], Optional[LockState]]
_MUTEX = struct.Struct("<iIiIihhQQ")
_ADAPTIVE = 3
_TYPE = 3


def readers(os: str, libc: Optional[str]) -> List[Tuple[int, Reader]]:
    """(offset of the owner's word in the lock, its reader) of the locks of one platform."""
    if os == "macos":
        return [(0x18, _apple)]
    found: List[Tuple[int, Reader]] = []
    if libc in (None, "glibc"):
        found += [(8, _glibc), (8, _protocol), (24, _rwlock)]
    if libc in (None, "musl"):
        found += [(4, _musl)]
    return found


def held_at(memory: Memory, word: int, tid: int, kinds: List[Tuple[int, Reader]]) -> Optional[LockState]:
    """The lock whose owner word lies at `word` and names `tid`; None where no struct agrees."""
    for offset, read in kinds:
        state = read(memory, word - offset) if word > offset else None
        if state is not None and state.locked and (state.owner_tid or 0) & 0xFFFFFFFF == tid:
            return state
    return None


def _glibc(memory: Memory, address: int) -> Optional[LockState]:
    """All 40 bytes agree: what a struct of other numbers does not do. Non-recursive ones have no count, unlinked ones no
    links, and only adaptive ones count spins."""
    data = memory.read(address, _MUTEX.size)
    state = glibc.read(memory, address) if data is not None and address % 8 == 0 else None
    if state is None or data is None:
        return None
    _, count, owner, users, kind, spins, elision, before, after = _MUTEX.unpack(data)
    if kind & 0x30 or before or after or not owner or not 0 < users <= limits.THREADS:
        return None
    if (spins or elision) and kind & _TYPE != _ADAPTIVE and not kind & 0x100:
        return None
    return state if state.recursive or not count else None


def _protocol(memory: Memory, address: int) -> Optional[LockState]:
    """Robust ones are linked into their owner's list while they are held, the others never."""
    data = memory.read(address, _MUTEX.size)
    state = glibc_protocols.read(memory, address) if data is not None and address % 8 == 0 else None
    if state is None or data is None:
        return None
    _, count, _, users, kind, _, _, before, after = _MUTEX.unpack(data)
    if count > limits.THREADS or users > limits.THREADS:
        return None
    robust = bool(kind & glibc_protocols.ROBUST)
    return state if robust == bool(before) == bool(after) else None


def _rwlock(memory: Memory, address: int) -> Optional[LockState]:
    state = rwlocks.read_glibc(memory, address)
    return state if state is not None and state.owner_word is not None else None


def _musl(memory: Memory, address: int) -> Optional[LockState]:
    """On its owner's list: pthread_mutex_trylock.c of musl links every held mutex that is not of the normal type, and what its
    _m_prev points to (the list's head, or another mutex) points back at it."""
    state = musl.read(memory, address)
    if state is None or state.owner_tid is None:
        return None
    link = address + 0x20  # &_m_next; _m_prev is the word before it
    before = read_u64(memory, link - 8)
    return state if before and read_u64(memory, before) == link else None


def _apple(memory: Memory, address: int) -> Optional[LockState]:
    return apple.read(memory, address)
