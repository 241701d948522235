"""The system call that each thread of a live Linux process is stopped in, from /proc: lldb shows no orig_rax.

/proc/PID/task/TID/syscall (Linux Documentation/filesystems/proc.rst, fs/proc/base.c proc_pid_syscall): `running`; or
`-1 SP PC` outside of a system call; or the number, six arguments, SP and PC.
"""

from __future__ import annotations

from dataclasses import replace
from typing import List, Optional, Sequence

from dumpwalk.core.arch import Arch
from dumpwalk.core.process import Thread


def add_system_calls(pid: int, arch: Arch, threads: Sequence[Thread]) -> List[Thread]:
    """The threads, with the register that holds the number where the debugger lacks it. Raises nothing: what /proc does
    not tell, or tells of a thread that stands elsewhere (a process of another machine), stays unknown."""
    return [_with_number(pid, arch, thread) for thread in threads]


def _with_number(pid: int, arch: Arch, thread: Thread) -> Thread:
    if arch.syscall_number in thread.registers:
        return thread
    number = _number(pid, thread.tid, thread.registers.get(arch.pc))
    if number is None:
        return thread
    return replace(thread, registers={**thread.registers, arch.syscall_number: number & (1 << 64) - 1})


def _number(pid: int, tid: Optional[int], pc: Optional[int]) -> Optional[int]:
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall", encoding="ascii") as stream:
            words = stream.read().split()
        if len(words) < 3 or pc is None or int(words[-1], 16) != pc:
            return None
        return int(words[0])
    except (OSError, ValueError):
        return None
