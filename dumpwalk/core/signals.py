"""Names of signals by the numbers of the dump's own system: a Linux core read on a Mac keeps Linux' numbers.

Sources: arch/x86/include/uapi/asm/signal.h and include/uapi/asm-generic/signal.h of Linux (the same numbers on x64 and
arm64), bsd/sys/signal.h of xnu.
"""

from __future__ import annotations

from typing import Dict, Optional

_LINUX = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU "
    "XFSZ VTALRM PROF WINCH IO PWR SYS"
)
_MACOS = (
    "HUP INT QUIT ILL TRAP ABRT EMT FPE KILL BUS SEGV SYS PIPE ALRM TERM URG STOP TSTP CONT CHLD TTIN TTOU IO XCPU XFSZ "
    "VTALRM PROF WINCH INFO USR1 USR2"
)
_NAMES: Dict[str, Dict[int, str]] = {
    os: {number: f"SIG{name}" for number, name in enumerate(names.split(), 1)}
    for os, names in (("linux", _LINUX), ("macos", _MACOS))
}
_FATAL = ("SIGILL", "SIGTRAP", "SIGABRT", "SIGEMT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS")
"""Those that a program's own fault raises."""


def name_of(os: str, number: int) -> str:
    """`SIGBUS` of ("linux", 7) and of ("macos", 10); `signal 40` where the system has no name for it."""
    return _NAMES.get(os, {}).get(number) or f"signal {number}"


def is_fault(os: str, number: Optional[int]) -> bool:
    """Whether it is one of the signals that a program's own fault or abort raises."""
    return number is not None and name_of(os, number) in _FATAL
