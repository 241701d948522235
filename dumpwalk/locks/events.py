"""Things that threads sleep for and that nobody owns: semaphores, condition variables and barriers of glibc and musl.

Sources: glibc sysdeps/nptl/internaltypes.h (struct new_sem: value and number of waiters in one u64, private +8; pthread_barrier:
in +0, current_round +4, count +8, shared +12), bits/thread-shared-types.h (pthread_cond_t of 2.25 to 2.40: __wseq +0,
__g1_start +8, __g_refs +16, __g_size +24, __wrefs +36, __g_signals +40; 2.41 and later: __g_size +16, __wrefs +28, __g_signals
+32; before 2.25: __futex +4, total, wakeup and woken sequences +8, +16, +24, the mutex +32). musl src/thread/sem_timedwait.c
(value +0, waiters +4), pthread_cond_timedwait.c (a waiter's node on its own stack: prev, next, state, barrier = 2).
Seen in glibc 2.36 and musl 1.2.3; the others from source.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.dataclass import dataclass

_LIMIT = 1 << 24
_POINTER = 1 << 47
_PRIVATE_FLAG, _REALTIME_FLAG, _COMMAND = 0x80, 0x100, 0x7F
_WAIT_BITSET = 9


@dataclass(frozen=True)
class Event:
    """What a thread sleeps for. `address` is the object's own, `waiters` its own count."""

    kind: str
    """semaphore, condition, barrier."""
    address: int
    waiters: int
    how: str


def read_event(memory: Memory, word: int, expected: int, operation: int, timed: bool, threads: int) -> Optional[Event]:
    """What lies around the futex word that a thread sleeps on (glibc); None where memory shows none of the three.

    `timed`: the call has a time limit. `threads` of the process at most wait for what it does not share with others.
    """
    found = _barrier(memory, word, expected)
    if found is None and _as_glibc_waits(operation, timed):
        found = _condition(memory, word, bool(operation & _PRIVATE_FLAG))
        found = found or _semaphore(memory, word, expected, operation)
    if found is not None and operation & _PRIVATE_FLAG and found.waiters > threads:
        return None
    return found


def _as_glibc_waits(operation: int, timed: bool) -> bool:
    """Without a time limit glibc waits for conditions and semaphores by FUTEX_WAIT_BITSET with the flag of the real-time clock
    (2.34 and later, sysdeps/nptl/futex-internal.c), or by FUTEX_WAIT. Other libraries leave the flag out."""
    return timed or operation & _COMMAND != _WAIT_BITSET or bool(operation & _REALTIME_FLAG)


def _condition(memory: Memory, word: int, private: bool) -> Optional[Event]:
    """A group's size is below zero where waiters of it gave up (__condvar_cancel_waiting)."""
    for base, refs_at in ((word - 0x28, 0x10), (word - 0x2C, 0x14)):
        data = memory.read(base, 48) if not base & 7 else None
        if data is None:
            continue
        sequence, first, _, _, size0, size1, original, wake, _, _ = struct.unpack("<QQIIiiIIII", data)
        refs = struct.unpack_from("<I", data, refs_at)[0]
        waiters = wake >> 3
        if bool(wake & 1) == private or max(abs(size0), abs(size1), original >> 2) >= _LIMIT:
            continue
        if 0 < waiters < _LIMIT and 0 < refs >> 1 <= waiters + 1 and 0 < sequence >> 1 < 1 << 48 and first <= sequence:
            return Event("condition", base, waiters, f"__wrefs at 0x{base + 36:x} counts {waiters}")
    for base in (word - 0x20, word - 0x24):
        data = memory.read(base, 48) if not base & 7 else None
        if data is None:
            continue
        sequence, first, size0, size1, original, wake, _, _, one, two = struct.unpack("<QQii6I", data)
        waiters = wake >> 3
        if (
            one
            or two
            or bool(wake & 1) == private
            or not 0 < waiters < _LIMIT
            or not 0 < sequence >> 1 < 1 << 48
            or first > sequence
        ):
            continue
        if max(abs(size0), abs(size1), original >> 2) < _LIMIT:
            return Event("condition", base, waiters, f"__wrefs at 0x{base + 28:x} counts {waiters}")
    return _old_condition(memory, word - 4)


def _old_condition(memory: Memory, base: int) -> Optional[Event]:
    data = memory.read(base, 48) if not base & 7 else None
    if data is None:
        return None
    lock, _, total, wakeup, woken, mutex, users, _ = struct.unpack("<IIQQQQII", data)
    waiters = total - woken
    if lock > 2 or not 0 < waiters < _LIMIT or not woken <= wakeup <= total or users >= _LIMIT:
        return None
    if not (mutex == (1 << 64) - 1 or 0x1000 <= mutex < _POINTER and not mutex & 7):
        return None
    return Event("condition", base, waiters, f"total_seq - woken_seq of 0x{base:x} is {waiters}")


def _barrier(memory: Memory, word: int, expected: int) -> Optional[Event]:
    base = word - 4
    data = memory.read(base, 20) if not base & 7 else None
    if data is None:
        return None
    entered, current, count, shared, out = struct.unpack("<5I", data)
    here = entered - current
    if current != expected & 0xFFFFFFFF or shared not in (0, 128) or not 0 < here < count < _LIMIT or out > entered:
        return None
    return Event("barrier", base, here, f"{here} of {count} are there, by the words at 0x{base:x}")


def _semaphore(memory: Memory, word: int, expected: int, operation: int) -> Optional[Event]:
    data = memory.read(word, 12) if not word & 7 else None
    if data is None or expected & 0xFFFFFFFF:
        return None
    value, waiters, shared = struct.unpack("<III", data)
    wanted = 0 if operation & _PRIVATE_FLAG else 128
    if value or shared != wanted or not 0 < waiters < _LIMIT:
        return None
    return Event("semaphore", word, waiters, f"value 0, {waiters} wait, by the words at 0x{word:x}")


def read_musl_event(memory: Memory, word: int, expected: int, operation: int, stack: int) -> Optional[Event]:
    """The same for musl. `stack` is the thread's stack pointer: a condition's waiter sleeps on a node of its own stack."""
    wanted = expected & 0xFFFFFFFF
    if wanted == 2 and 0 < word - stack < 0x1000 and not (word - 0x14) & 7:
        node = memory.read(word - 0x14, 0x20)
        if node is not None:
            before, after, state, barrier = struct.unpack_from("<QQII", node)
            if barrier == 2 and state == 0 and max(before, after) < _POINTER and not (before | after) & 7:
                return Event("condition", word - 0x14, 1, "a waiter's node of its own stack, not signalled")
    data = memory.read(word, 12)
    if data is not None and wanted in (0xFFFFFFFF, 0x80000000):
        value, waiters, shared = struct.unpack("<III", data)
        private = 128 if operation & _PRIVATE_FLAG else 0  # the other way round than in a reader-writer lock
        if value == wanted and 0 < waiters < _LIMIT and shared == private:
            return Event("semaphore", word, waiters, f"no value left, {waiters} wait, by the words at 0x{word:x}")
    return None
