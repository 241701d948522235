"""Frames that only stand between a thread and the lock it wants: the C library's, and the functions that enter a lock."""

from __future__ import annotations

from typing import Optional, Sequence

from dumpwalk.core.names import plain
from dumpwalk.core.process import Frame

ENTER_NAMES = ("CrstBase::Enter", "EnterCriticalSection", "CorUnix::InternalEnterCriticalSection", "InternalEnterCriticalSection",
               "minipal_mutex_enter", "CrstBase::AcquireLock")  # fmt: skip

LIBC_MODULES = ("libc.so", "libc-", "libpthread", "ld-", "ld-musl", "libc.musl", "libsystem_", "linux-vdso", "[vdso]")


def is_lock_frame(frame: Frame) -> bool:
    """A frame that only stands between a thread and the lock it wants: libc's, or the runtime's Enter functions."""
    if frame.module is not None and frame.module.name.startswith(LIBC_MODULES):
        return True
    return bool(frame.function) and plain(frame.function or "") in ENTER_NAMES


def first_own_frame(frames: Sequence[Frame]) -> Optional[Frame]:
    """The innermost frame that is neither libc's nor a lock function: who wants the lock."""
    for frame in frames:
        if not is_lock_frame(frame):
            return frame
    return None
