"""Is a thread inside a system call, and which: from the instruction at its pc and its registers.

Linux x64: the two bytes before rip are `syscall`; the number is orig_rax where the dump has it (ELF notes do, debuggers do
not show it). Linux arm64: pc is at the `svc`, the number in x8 (128, restart_syscall, after a timed wait was stopped). macOS
x64: rax holds the number with its class bits; arm64: x16, pc behind the `svc`. Numbers: arch/x86/entry/syscalls and
include/uapi/asm-generic/unistd.h of Linux, bsd/kern/syscalls.master of xnu.
"""

from __future__ import annotations

import datetime
import struct
from typing import Dict, Optional, Tuple

from dumpwalk.core.process import Process, Thread
from dumpwalk.dataclass import dataclass

_LINUX: Dict[str, Dict[int, str]] = {
    "x86_64": {
        202: "futex", 449: "futex-many", 219: "restart", 35: "sleep", 230: "sleep", 0: "read", 45: "read", 47: "read", 17: "read",
        7: "poll", 271: "poll", 23: "poll", 270: "poll", 232: "poll", 281: "poll", 61: "wait", 247: "wait", 128: "signal",
        34: "signal", 130: "signal", 43: "accept", 288: "accept", 1: "write", 20: "write", 24: "yield",
        72: "file-lock", 73: "file-lock", 65: "sysv-semaphore", 220: "sysv-semaphore", 70: "read", 299: "read", 426: "poll",
        441: "poll", 42: "connect", 44: "write", 46: "write", 62: "kill", 200: "kill", 234: "kill",
    },
    "aarch64": {
        98: "futex", 449: "futex-many", 128: "restart", 101: "sleep", 115: "sleep", 63: "read", 207: "read", 212: "read",
        73: "poll", 72: "poll", 22: "poll", 260: "wait", 95: "wait", 137: "signal", 133: "signal", 202: "accept",
        242: "accept", 64: "write", 66: "write", 124: "yield", 25: "file-lock", 32: "file-lock", 193: "sysv-semaphore",
        192: "sysv-semaphore", 188: "read", 243: "read", 426: "poll", 441: "poll", 203: "connect", 206: "write", 211: "write",
        129: "kill", 130: "kill", 131: "kill",
    },
}  # fmt: skip

_WAITS_FOR_NOBODY: Dict[str, Dict[int, str]] = {
    "x86_64": {
        9: "mmap", 10: "mprotect", 11: "munmap", 12: "brk", 13: "rt_sigaction", 14: "rt_sigprocmask", 27: "mincore",
        28: "madvise", 39: "getpid", 98: "getrusage", 157: "prctl", 186: "gettid", 204: "sched_getaffinity", 228: "clock_gettime",
        234: "tgkill", 309: "getcpu", 324: "membarrier",
    },
    "aarch64": {
        222: "mmap", 226: "mprotect", 215: "munmap", 214: "brk", 134: "rt_sigaction", 135: "rt_sigprocmask", 232: "mincore",
        233: "madvise", 172: "getpid", 165: "getrusage", 167: "prctl", 178: "gettid", 123: "sched_getaffinity",
        113: "clock_gettime", 131: "tgkill", 168: "getcpu", 283: "membarrier",
    },
}  # fmt: skip
"""Calls that end by themselves: a thread that was caught in one of them runs."""

_DARWIN: Dict[int, str] = {
    301: "psynch-mutex", 305: "psynch-condition", 306: "psynch-rw", 307: "psynch-rw", 515: "ulock", 544: "ulock", 3: "read",
    396: "read", 230: "poll", 417: "poll", 93: "poll", 407: "poll", 363: "poll", 374: "poll", 368: "workqueue", 334: "sleep",
    423: "sleep", 331: "sleep", 330: "signal", 410: "signal", 111: "signal",
}  # fmt: skip
_DARWIN_CLASS_UNIX = 2 << 24
_DARWIN_CLASS_MACH = 1 << 24

_FUTEX_WAIT = (0, 9, 11)
"""FUTEX_WAIT, FUTEX_WAIT_BITSET and FUTEX_WAIT_REQUEUE_PI (include/uapi/linux/futex.h), after the private and clock bits are
masked; glibc before 2.25 waits with the last of them on a condition variable of a priority-inheriting mutex."""
_FUTEX_LOCK_PI = (6, 13)
_FUTEX_WAITV = 449
_FUTEX_WAKING = {
    1: "FUTEX_WAKE",
    3: "FUTEX_REQUEUE",
    4: "FUTEX_CMP_REQUEUE",
    5: "FUTEX_WAKE_OP",
    10: "FUTEX_WAKE_BITSET",
}
_FUTEX_COMMAND = 0x7F
_FUTEX_CLOCK_REALTIME = 0x100
_RESTART = tuple((1 << 64) - n for n in (4, 512, 513, 514, 516))
"""-EINTR, -ERESTARTSYS, -ERESTARTNOINTR, -ERESTARTNOHAND, -ERESTART_RESTARTBLOCK."""


@dataclass(frozen=True)
class SystemCall:
    """`inside` is None when neither the instruction nor the registers can tell."""

    inside: Optional[bool]
    kind: str
    """futex, psynch-mutex, sleep, poll, read, ... or other; empty when not inside."""
    arguments: Tuple[int, ...]
    how: str
    by_code: bool = False
    """The instruction itself was seen."""

    @property
    def timed(self) -> bool:
        """A futex wait with a time-out (the 4th argument, futex(2)): it ends by itself."""
        return self.kind == "futex" and len(self.arguments) > 3 and self.arguments[3] != 0


def system_call(process: Process, thread: Thread) -> SystemCall:
    arch = process.arch
    registers = thread.registers
    pc = registers.get(arch.pc)
    if pc is None:
        return SystemCall(None, "", (), "no registers")
    arguments = tuple(registers.get(name, 0) for name in arch.syscall_arguments)
    data = process.code.read(pc - arch.syscall_before_pc, len(arch.syscall_instruction))
    at_call = None if data is None else data == arch.syscall_instruction
    if process.os == "macos":
        return _darwin(process, thread, at_call, arguments)
    number = registers.get(arch.syscall_number)
    if number is not None and arch.name == "x86_64" and number >> 63:
        number = -1
    if at_call is False:
        return SystemCall(False, "", arguments, "the instruction at pc is no system call", True)
    kind = _LINUX[arch.name].get(number) if number is not None else None
    if arch.name == "x86_64" and number == -1:
        return SystemCall(False, "", arguments, "orig_rax is -1: not in a system call", at_call is not None)
    if at_call is None:
        result = registers.get(arch.syscall_result)
        if arch.name == "x86_64" and kind and result in _RESTART:
            return _linux(kind, arguments, f"orig_rax {number}, interrupted", False)
        return SystemCall(None, "", arguments, "the instruction at pc is not captured")
    at_once = _at_once(arch.name, kind, number, arguments)
    if at_once is not None:
        return SystemCall(False, "", arguments, f"in a system call that waits for nobody ({at_once})", True)
    if kind is None and (number is None or number < 0):
        kind = "futex" if _futex_arguments(arguments) else "other"
    return _linux(kind or "other", arguments, "stopped in a system call", True)


def _at_once(arch: str, kind: Optional[str], number: Optional[int], arguments: Tuple[int, ...]) -> Optional[str]:
    """The name of a call that does not wait for anybody, None for all others."""
    if kind is None and number is not None:
        return _WAITS_FOR_NOBODY[arch].get(number)
    operation = arguments[1] & 0xFFFFFFFF
    if kind != "futex" or number == _FUTEX_WAITV or operation >= 0x200:
        return None
    return _FUTEX_WAKING.get(operation & _FUTEX_COMMAND)


def _linux(kind: str, arguments: Tuple[int, ...], how: str, by_code: bool) -> SystemCall:
    if kind in ("futex", "restart") and _futex_arguments(arguments):
        return SystemCall(True, "futex", arguments, how, by_code)
    if kind == "futex-many":
        return SystemCall(True, kind if _waits_for_many(arguments) else "other", arguments, how, by_code)
    if kind == "futex":
        return SystemCall(True, "other", arguments, how, by_code)
    return SystemCall(True, "timed-wait" if kind == "restart" else kind, arguments, how, by_code)


def _futex_arguments(arguments: Tuple[int, ...]) -> bool:
    address, operation = arguments[0], arguments[1] & 0xFFFFFFFF
    command = operation & _FUTEX_COMMAND
    return address > 0xFFF and not address & 3 and operation < 0x200 and command in _FUTEX_WAIT + _FUTEX_LOCK_PI


def _waits_for_many(arguments: Tuple[int, ...]) -> bool:
    """futex_waitv(2): an array of words, how many, no flags."""
    return arguments[0] > 0xFFF and 0 < arguments[1] <= 128 and arguments[2] == 0


def is_condition_wait(operation: int) -> bool:
    """glibc waits on condition variables with FUTEX_WAIT_BITSET (an absolute time out), on mutexes with FUTEX_WAIT."""
    return operation & _FUTEX_COMMAND in (9, 11)


def locks_mutexes_by(call: SystemCall) -> bool:
    """Is it an operation in which glibc and musl wait for a plain mutex: FUTEX_WAIT, or FUTEX_WAIT_BITSET with a time limit
    (pthread_mutex_clocklock, nptl/lowlevellock.c)?"""
    command = futex_command(call)
    return command == 0 or command == 9 and call.timed


def futex_command(call: SystemCall) -> int:
    """The operation of a futex call without its private and clock bits."""
    return call.arguments[1] & _FUTEX_COMMAND


def time_limit(process: Process, call: SystemCall) -> str:
    """How long a timed futex wait lasts, in words, from the timespec that its 4th argument points at; empty where the dump
    does not hold it. FUTEX_WAIT counts from its own begin, the others are told a point in time (futex(2))."""
    data = process.memory.read(call.arguments[3], 16) if call.timed else None
    if data is None:
        return ""
    seconds, nanoseconds = struct.unpack("<qq", data)
    if not 0 <= seconds < 1 << 40 or not 0 <= nanoseconds < 1_000_000_000:
        return ""
    operation = call.arguments[1] & 0xFFFFFFFF
    if operation & _FUTEX_COMMAND == 0:
        return f"at most {seconds + nanoseconds / 1e9:g} s from its begin"
    if operation & _FUTEX_CLOCK_REALTIME or operation & _FUTEX_COMMAND == 6:
        if seconds >= 253402300800:
            return ""
        when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
        return f"until {when:%Y-%m-%d %H:%M:%S} UTC"
    return f"until {seconds + nanoseconds / 1e9:.3f} s of the machine's monotonic clock"


def _darwin(process: Process, thread: Thread, at_call: Optional[bool], arguments: Tuple[int, ...]) -> SystemCall:
    if at_call is False:
        return SystemCall(False, "", arguments, "the instruction at pc is no system call", True)
    name = ""
    if at_call is None:
        name = (thread.frames()[0].function or "") if thread.frames() else ""
        if not name.lstrip("_").startswith("psynch"):
            return SystemCall(None, "", arguments, "the instruction at pc is not captured")
    number = thread.registers.get(process.arch.syscall_number, 0)
    if process.arch.name == "x86_64":
        if number & _DARWIN_CLASS_MACH and not number & _DARWIN_CLASS_UNIX:
            return SystemCall(True, "mach", arguments, "stopped in a mach trap", at_call is True)
        number &= 0xFFFFFF
    elif number >> 31 or number >= 1 << 32:
        return SystemCall(True, "mach", arguments, "stopped in a mach trap", at_call is True)
    kind = _DARWIN.get(number)
    if kind is None and "psynch_mutexwait" in name:
        kind = "psynch-mutex"
    if kind is None and "psynch_cvwait" in name:
        kind = "psynch-condition"
    return SystemCall(True, kind or "other", arguments, "stopped in a system call", at_call is True)
