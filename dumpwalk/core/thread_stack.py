"""How far a thread's own stack is worth searching."""

from __future__ import annotations

from dumpwalk import limits
from dumpwalk.core.process import Process, Thread

_BEHIND = 0x1000
"""Bytes above the outermost frame's stack pointer: its own variables. What lies further up is the C library's."""


def stack_end(process: Process, thread: Thread) -> int:
    """The address up to which its frames reach, where more than one is known; never more than limits.HELD_STACK_BYTES."""
    start = thread.registers.get(process.arch.sp, 0)
    pointers = [frame.sp for frame in thread.frames()[1:] if frame.sp is not None and frame.sp >= start]
    most = start + limits.HELD_STACK_BYTES
    return min(most, max(pointers) + _BEHIND) if pointers else most
