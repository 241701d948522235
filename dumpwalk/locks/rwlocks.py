"""pthread_rwlock_t, which std::shared_mutex is too: glibc tells the writer, nobody tells the readers.

Sources: glibc nptl/pthread_rwlock_common.c and sysdeps/nptl/bits/struct_rwlock.h (2.25 and later, x64 and arm64, 56 bytes):
`__readers` +0 (bit 0 write phase, bit 1 a writer has it or is next, bit 2 readers wait, their number from bit 3 on), `__writers`
+4, `__wrphase_futex` +8, `__writers_futex` +12, `__cur_writer` +24 (a tid), `__shared` +28, `__flags` +48. The two futex words
are 0 or 1, plus 2 where somebody sleeps on them. musl src/thread/pthread_rwlock_*.c: `_rw_lock` +0 (number of readers, or
0x7fffffff for a writer; bit 31 waiters), `_rw_waiters` +4, `_rw_shared` +8: no owner at all. Seen in glibc 2.36 and musl 1.2.3.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.core.names import plural
from dumpwalk.locks.state import LockState, Word

GLIBC_WORDS = (8, 12)
"""Where the words lie on which threads sleep: for the phase to change, for the writer before them."""
_GLIBC = struct.Struct("<IIIIIIIIQQI")
_TID_LIMIT = 1 << 22
_COUNT_LIMIT = 1 << 20
_WRITE_PHASE, _WRITER = 1, 2
_MUSL_WRITER = 0x7FFFFFFF


def read_glibc(memory: Memory, address: int) -> Optional[LockState]:
    """The lock at `address`, or None when what is there cannot be one."""
    data = memory.read(address, 56)
    if data is None or address & 7:
        return None
    readers, writers, phase, queue, pad3, pad4, writer, shared, pad1, pad2, flags = _GLIBC.unpack_from(data)
    count = readers >> 3
    if pad3 or pad4 or shared > 1 or flags > 2 or pad1 >> 8 or pad2 or phase > 3 or queue > 3:
        return None
    if writer >= _TID_LIMIT or count > _COUNT_LIMIT or writers & 0x7FFFFFFF > _COUNT_LIMIT or not readers:
        return None
    if writer and readers & 3 != _WRITE_PHASE | _WRITER:
        return None
    reading = not readers & _WRITE_PHASE and count > 0
    word = Word("__cur_writer", address + 24, writer)
    said = (
        plural(count, "reader holds it", "readers hold it")
        if reading
        else f"write phase, {plural(count, 'reader waits', 'readers wait')}"
    )
    return LockState(
        address=address,
        implementation="glibc-rwlock",
        locked=reading or readers & 3 == _WRITE_PHASE | _WRITER,
        owner_tid=writer or None,
        recursion=None,
        mutex=address,
        size=56,
        owner_word=word if writer else None,
        words=(Word("__readers", address, readers, reading=said), Word("__writers", address + 4, writers), word),
        kind="rwlock",
    )


def read_musl(memory: Memory, address: int, private: bool) -> Optional[LockState]:
    """The lock at `address`, or None. Its memory names no owner, and little tells it from other words: a hint, no proof.

    `private` is the flag of the system call that sleeps on it: the third word is 0 then and 128 for a lock that processes
    share. A semaphore, whose word is the same, has it the other way round (src/thread/sem_init.c).
    """
    data = memory.read(address, 12)
    if data is None or address & 3:
        return None
    lock, waiters, shared = struct.unpack("<III", data)
    holders = lock & 0x7FFFFFFF
    if not lock >> 31 or not 0 < waiters < _COUNT_LIMIT or shared != (0 if private else 128):
        return None
    if holders != _MUSL_WRITER and holders > _COUNT_LIMIT or not holders:
        return None
    said = "a writer holds it" if holders == _MUSL_WRITER else plural(holders, "reader holds it", "readers hold it")
    return LockState(
        address=address,
        implementation="musl-rwlock",
        locked=True,
        owner_tid=None,
        recursion=None,
        mutex=address,
        size=56,
        waiters=waiters,
        words=(Word("_rw_lock", address, lock, reading=said), Word("_rw_waiters", address + 4, waiters)),
        kind="rwlock",
    )


def readers_holding(state: LockState) -> int:
    """How many readers hold it now; who they are is nowhere recorded."""
    value = state.words[0].value
    if state.implementation == "glibc-rwlock":
        return 0 if value & _WRITE_PHASE else value >> 3
    holders = value & 0x7FFFFFFF
    return 0 if holders == _MUSL_WRITER else holders
