"""What makes a futex word a pthread mutex: two facts that do not follow from each other, or it is none.

A thread that sleeps in FUTEX_WAIT for the value 2 may wait for a std::latch, a std::atomic, a barrier, one of libc's own locks
(a FILE's, malloc's) or somebody's own lock. The facts: the shape of the struct (kind, counts, links, and the private flag of the
system call, which follows the kind), an owner that is a thread of this process, a function on the waiter's stack that locks
mutexes, a Crst's flags behind it, an owner that may have been a thread of this process. A stack that shows another way to the
system call refutes them all.

Sources: glibc nptl/pthread_mutex_lock.c, nptl/lowlevellock.c, nptl/pthread_barrier_wait.c, libio/libioP.h (_IO_lock_t: int lock,
int count, void *owner), misc/syscall; musl src/thread/pthread_mutex_timedlock.c; libstdc++ bits/atomic_wait.h.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.names import plain
from dumpwalk.core.process import Process, Thread
from dumpwalk.locks.lock_frames import ENTER_NAMES, LIBC_MODULES
from dumpwalk.locks.state import LockState
from dumpwalk.locks.syscalls import SystemCall

_FUTEX_PRIVATE = 0x80
_FRAMES = 8
"""Frames between a thread's system call and the lock function that made it: three at most in glibc with all its symbols."""

_LOCKING = (
    "pthread_mutex_lock", "pthread_mutex_timedlock", "pthread_mutex_clocklock", "pthread_mutex_cond_lock",
    "pthread_cond_wait", "pthread_cond_timedwait", "pthread_cond_clockwait",
)  # fmt: skip
"""Those that wait for a condition take its mutex again before they return."""
_HELPERS = ("futex", "lll_lock_wait", "lll_timedlock", "lll_clocklock", "timedwait")
"""Names of the functions below them, where libc has symbols: they serve other locks too and decide nothing."""

_LIBC = ("libc.so", "libc-", "ld-musl", "libc.musl")

AGE_MARGIN = 4096
"""A thread that has ended may have been the process's youngest: how far above the living ones its number may lie. Below
pid_max's usual 32,768, so that numbers from before a wrap do not fall in."""
_SMALL = 300
"""RESERVED_PIDS of Linux (kernel/pid.c): numbers below may be any count or flag."""


def is_mutex(process: Process, thread: Thread, call: SystemCall, state: LockState, has_flags: bool) -> Tuple[bool, str]:
    """(whether two facts say that the word is a mutex, those facts in words)."""
    locking = locks_mutexes(thread)
    if not has_flags and (locking is False or (locking is None and _by_own_code(process, thread))):
        return False, ""
    facts = ["a Crst's flags word behind it"] if has_flags else []
    if _has_shape(process, state, call):
        facts.append("the struct's own words agree")
    elif not has_flags:
        return False, ""
    if state.owner_tid is not None and process.thread_by_tid(state.owner_tid) is not None:
        facts.append("its owner is a thread")
    elif state.owner_tid is not None and may_have_ended(process, state.owner_tid):
        facts.append("its owner's number is one of this process")
    if locking:
        facts.append("the stack is in a function that locks mutexes")
    if state.implementation == "musl-mutex" and state.owner_tid is None and state.locked and state.waiters:
        facts.append("its count of waiters")
    return len(facts) > 1, ", ".join(facts)


def locks_mutexes(thread: Thread) -> Optional[bool]:
    """Does the stack come through a function that locks a pthread mutex? None where its names do not tell."""
    other = False
    for frame in thread.frames()[:_FRAMES]:
        name = plain(frame.function or "").lstrip("_") if frame.name_source == "symbol" else ""
        if name in _LOCKING or plain(frame.function or "") in ENTER_NAMES:
            return True
        inside = frame.module is not None and frame.module.name.startswith(LIBC_MODULES)
        if name and any(part in name for part in _HELPERS):
            continue  # also where libc is linked into the program
        if name:
            other = other or inside or frame.index <= 1
        if not inside:
            break
    return False if other else None


def _by_own_code(process: Process, thread: Thread) -> bool:
    """Did the program make the system call itself: with an instruction of its own, or by libc's syscall(), which keeps no
    frame, so that what it returns to is the innermost word of the stack (x64) or in the link register (arm64)?"""
    arch = process.arch
    back = thread.registers.get(arch.lr) if arch.lr else None
    if not arch.lr:
        word = process.memory.read(thread.registers.get(arch.sp, 0), 8)
        back = int.from_bytes(word, "little") if word else None
    return any(
        address is not None and _other_code(process, address) for address in (thread.registers.get(arch.pc), back)
    )


def _other_code(process: Process, address: int) -> bool:
    """Code of a module other than libc, in a process that has one. gdb's cores leave code out: what lies in a module and in no
    segment counts as code, what lies in a segment that cannot be executed does not."""
    starts, modules, data = _layout(process)
    at = bisect_right(starts, address) - 1
    if at < 0 or address >= modules[at][0] or modules[at][1].startswith(LIBC_MODULES):
        return False
    first = bisect_right(data, (address, 1 << 64)) - 1
    return first < 0 or address >= data[first][1]


_Layout = Tuple[List[int], List[Tuple[int, str]], List[Tuple[int, int]]]


def _layout(process: Process) -> _Layout:
    """(begins of modules, their ends and names, segments that cannot be executed), ascending; no module where the core does
    not tell its segments, or libc is linked into the program."""
    known: Optional[_Layout] = process.__dict__.get("_code_layout")
    if known is None:
        segments = process.corefile.regions if process.corefile is not None else ()
        modules = sorted(
            (m.base, m.end, m.name)
            for m in process.modules[: limits.IMAGES]
            if m.base is not None and m.end is not None
        )
        if not segments or not any(name.startswith(_LIBC) for _, _, name in modules):
            modules = []
        data = sorted((s.start, s.end) for s in segments if not s.executable)
        known = ([base for base, _, _ in modules], [(end, name) for _, end, name in modules], data)
        process.__dict__["_code_layout"] = known
    return known


def _has_shape(process: Process, state: LockState, call: SystemCall) -> bool:
    """Do all words of the struct agree with a mutex that is held and waited for?"""
    operation = call.arguments[1]
    if bool(operation & _FUTEX_PRIVATE) == state.shared:
        return False
    if state.implementation != "glibc-mutex":
        return True  # musl: its reader asks for all of its words
    data = process.memory.read(state.address, 40)
    if data is None:
        return False
    _, count, owner, users, kind = struct.unpack_from("<iIiIi", data)
    before, after = struct.unpack_from("<QQ", data, 24)
    robust = bool(kind & 0x10)
    if not robust and (before or after):
        return False
    if not state.recursive and count and not robust:
        return False
    return bool(owner) == bool(users) and users <= limits.THREADS


def may_have_ended(process: Process, tid: int) -> bool:
    """Is a number that no thread has one that a thread of this process can have had? Small ones may be anything."""
    first = own_pid(process)
    return first is not None and first >= _SMALL and in_age(process, first, tid)


def in_age(process: Process, first: int, tid: int) -> bool:
    """Did the kernel give this number after the process's own? Numbers are given in order, and begin anew at the top: not
    below the process's own and not far above the greatest here; where living threads are below it, they began anew."""
    again, greatest = _ages(process, first)
    if again is not None:
        return tid >= first or tid <= again + AGE_MARGIN
    return first <= tid <= greatest + AGE_MARGIN


def _ages(process: Process, first: int) -> Tuple[Optional[int], int]:
    """(the greatest number below the process's own, None where there is none; the greatest of all). Counted once."""
    known: Optional[Tuple[int, Optional[int], int]] = process.__dict__.get("_ages")
    if known is None or known[0] != first:
        numbers = process.numbering.position
        again = max((number for number in numbers if number < first), default=None)
        known = (first, again, max(numbers, default=first))
        process.__dict__["_ages"] = known
    return known[1], known[2]


def own_pid(process: Process) -> Optional[int]:
    """The process's id as its own memory numbers it: that of its first thread."""
    if process.pid is None:
        return None
    main = process.thread_of_note(process.pid)
    return process.own_tid(main) if main is not None else process.pid
