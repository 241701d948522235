"""CrstBase: an OS lock and a flags word, no owner of its own, no type in release builds (src/coreclr/vm/crst.h).

The lock is a PAL critical section in 3.1 to 9 and a recursive pthread mutex (minipal_mutex, PR 115858) in 10 and 11.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional, Sequence, Tuple

from dumpwalk.core.memory import Memory, read_u32
from dumpwalk.coreclr.layouts import CRST_FLAG_BITS, CRST_INITIALIZED, CRST_OS_CRIT_SEC, Layout
from dumpwalk.locks import apple, glibc, musl, pal
from dumpwalk.locks.state import LockState


def read_lock(memory: Memory, address: int, layout: Layout) -> Optional[LockState]:
    """The OS lock at the start of a Crst. None when memory there is not captured or is no such lock."""
    if layout.lock.startswith("pal-critical-section"):
        return pal.read(
            memory,
            address,
            old=layout.lock.endswith("3.1"),
            mutex=layout.mutex,
            condition=layout.condition or 0,
            size=layout.crst_size - 8,
        )
    state = pthread_mutex(memory, address, layout.libc if layout.libc != "any" else None, layout.os)
    return replace(state, size=layout.crst_size - 8) if state is not None else None


def sized(memory: Memory, layouts: Sequence[Layout], state: LockState) -> Tuple[LockState, bool]:
    """The lock with the size of a Crst where a Crst's flags word lies behind it, and whether it does."""
    for row in layouts:
        same = row.lock.startswith("pal") == (state.implementation == "pal-critical-section")
        if same and crst_flags(memory, state.address, row) is not None:
            return replace(state, size=row.crst_size - 8), True
    return state, False


def pthread_mutex(memory: Memory, address: int, libc: Optional[str], os: str) -> Optional[LockState]:
    """A pthread mutex of the platform's libc; both Linux libcs are tried where it is not known which."""
    if os == "macos":
        return apple.read(memory, address)
    if libc == "musl":
        return musl.read(memory, address)
    if libc == "glibc":
        return glibc.read(memory, address)
    return glibc.read(memory, address) or musl.read(memory, address)


def crst_flags(memory: Memory, address: int, layout: Layout) -> Optional[int]:
    """m_dwFlags when the word can be one: CRST_INITIALIZED and known bits only."""
    flags = read_u32(memory, address + layout.crst_size - 8)
    if flags is None or not flags & CRST_INITIALIZED:
        return None
    return flags if not flags & ~(CRST_INITIALIZED | CRST_OS_CRIT_SEC | CRST_FLAG_BITS) else None


def lock_looks_sane(memory: Memory, address: int, layout: Layout) -> bool:
    """Does memory agree that a Crst's lock is here? Zeros would pass for a plain mutex; a Crst's mutex is recursive."""
    state = read_lock(memory, address, layout)
    return state is not None and state.recursive
