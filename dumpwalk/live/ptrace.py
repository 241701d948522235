"""Stops all threads of a Linux process for a moment, and lets them go on whatever happens.

PTRACE_SEIZE and PTRACE_INTERRUPT (ptrace(2)): no signal is sent, so a stopped process stays stopped and a running one goes on;
the kernel lets every thread go by itself when the process that seized it ends, also by SIGKILL. What a stop does to a process
is what createdump and every debugger do: a blocking system call is left and entered again, and the few that signal(7) names
(epoll_wait among them) return EINTR once.

Only the thread that stopped a process may read registers of it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from contextlib import contextmanager
from dataclasses import field
from typing import Dict, Iterator, List, Optional, Set, Tuple

from dumpwalk import limits
from dumpwalk.dataclass import dataclass

_SEIZE, _INTERRUPT, _GETREGSET, _DETACH = 0x4206, 0x4207, 0x4204, 17  # linux/ptrace.h
_EVENT_STOP = 128
_WALL = 0x40000000  # linux/wait.h __WALL: threads that were made by clone(2), too
_PAUSE_SECONDS = 0.0005

PRSTATUS, PRFPREG, X86_XSTATE, ARM_TLS, ARM_PAC_MASK = 1, 2, 0x202, 0x401, 0x406  # linux/elf.h
_ROOM = {PRSTATUS: 512, PRFPREG: 1024, X86_XSTATE: 16384, ARM_TLS: 16, ARM_PAC_MASK: 16}


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


@dataclass(frozen=True)
class StoppedThread:
    """A thread as the kernel gives it: register sets by note type (linux/elf.h), in the layout that a core's notes have."""

    tid: int
    registers: Dict[int, bytes]


@dataclass
class Stop:
    """All threads of the process, stopped. `unstopped` are threads that did not stop in time: they sleep in the kernel where
    no signal reaches them (state D)."""

    threads: List[StoppedThread] = field(default_factory=list)
    unstopped: List[int] = field(default_factory=list)


class NotAllowed(OSError):
    """The kernel forbids to trace the process (EPERM)."""


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    return libc


@contextmanager
def stopped(pid: int) -> Iterator[Stop]:
    """All threads of a process stopped, for the time of the `with` block.

    Raises NotAllowed where tracing it is forbidden, ProcessLookupError where it ended, OSError for anything else.
    """
    libc = _libc()
    held: Dict[int, int] = {}
    """tid to the signal that was about to be delivered when the thread stopped, or 0."""
    seized: Set[int] = set()
    try:
        _stop_all(libc, pid, seized, held)
        stop = Stop(unstopped=sorted(seized - set(held)))
        for tid in sorted(held, key=lambda t: (t != pid, t)):
            sets = _register_sets(libc, tid)
            if PRSTATUS in sets:
                stop.threads.append(StoppedThread(tid, sets))
        if not stop.threads:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        yield stop
    finally:
        for tid, number in held.items():
            libc.ptrace(_DETACH, tid, None, number)  # fails only for a thread that is gone


def _stop_all(libc: ctypes.CDLL, pid: int, seized: Set[int], held: Dict[int, int]) -> None:
    """Until two looks at the list of threads find no new one: a stopped thread makes none."""
    deadline = time.monotonic() + limits.STOP_SECONDS
    while True:
        fresh = [tid for tid in threads_of(pid) if tid not in seized]
        begun = [tid for tid in fresh if _seize(libc, tid, seized)]
        waiting = seized - set(held)
        while waiting:
            for tid in sorted(waiting):
                number = _stopped_with(tid)
                if number is not None:
                    waiting.discard(tid)
                    if number >= 0:
                        held[tid] = number
                    else:
                        seized.discard(tid)  # it ended
            if waiting:
                if time.monotonic() > deadline:
                    break
                time.sleep(_PAUSE_SECONDS)
        if not begun or len(seized) > limits.THREADS or time.monotonic() > deadline:
            return


def threads_of(pid: int) -> List[int]:
    """Its thread ids now. Raises ProcessLookupError."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task") if name.isdigit())
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None


def _seize(libc: ctypes.CDLL, tid: int, seized: Set[int]) -> bool:
    if libc.ptrace(_SEIZE, tid, None, None) != 0:
        number = ctypes.get_errno()
        if number == errno.ESRCH or (number == errno.EPERM and _has_ended(tid)):
            return False
        if number == errno.EPERM:
            raise NotAllowed(number, os.strerror(number))
        raise OSError(number, os.strerror(number))
    seized.add(tid)
    libc.ptrace(_INTERRUPT, tid, None, None)
    return True


def _has_ended(tid: int) -> bool:
    """A main thread that ended before the others stays in the list of threads as a zombie."""
    try:
        with open(f"/proc/{tid}/stat", "rb") as stream:
            return stream.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (OSError, IndexError):
        return True


def _stopped_with(tid: int) -> Optional[int]:
    """None while it runs; else the signal that was to be delivered, 0 for none, -1 for a thread that ended."""
    try:
        found, status = os.waitpid(tid, os.WNOHANG | _WALL)
    except ChildProcessError:
        return -1
    if found == 0:
        return None
    if not os.WIFSTOPPED(status):
        return -1
    return 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status)


def _register_sets(libc: ctypes.CDLL, tid: int) -> Dict[int, bytes]:
    found = {}
    for kind, room in _ROOM.items():
        data = _register_set(libc, tid, kind, room)
        if data is not None:
            found[kind] = data
    return found


def _register_set(libc: ctypes.CDLL, tid: int, kind: int, room: int) -> Optional[bytes]:
    """None for a set that this kernel or processor does not have."""
    buffer = ctypes.create_string_buffer(room)
    vector = _Vector(ctypes.addressof(buffer), room)
    if libc.ptrace(_GETREGSET, tid, kind, ctypes.byref(vector)) != 0:
        return None
    return buffer.raw[: vector.size]


def tracer_of(pid: int) -> Optional[Tuple[int, str]]:
    """(pid, name) of the process that traces this one already; None where none does."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
            number = next(int(line.split()[1]) for line in stream if line.startswith("TracerPid:"))
        if number == 0:
            return None
        with open(f"/proc/{number}/comm", encoding="utf-8", errors="replace") as stream:
            return number, stream.read().strip()
    except (OSError, StopIteration, ValueError):
        return None
