"""Mutexes with a protocol: robust, priority-inheriting, priority-protecting (glibc)."""

from __future__ import annotations

from typing import Optional

from dumpwalk.core.libc import libc_of
from dumpwalk.locks import glibc_protocols as protocols
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.kinds.sleeping import sleeps_unexplained
from dumpwalk.locks.state import LockState
from dumpwalk.locks.syscalls import futex_command
from dumpwalk.locks.waits import Layer, Wait

_LOCK_PI = (6, 13)
_WAIT = 0


class _Reader(LockReader):
    def __init__(self, scene: Scene) -> None:
        self._memory = scene.process.memory
        self._argument = scene.process.arch.syscall_arguments[0]
        self._process = scene.process

    def layer(self, wait: Wait) -> Optional[Layer]:
        if not sleeps_unexplained(wait) or wait.word is None:
            return None
        state = protocols.read(self._memory, wait.word)
        if state is None or not self._fits(wait, state):
            return None
        known = state.owner_tid is not None and self._process.thread_by_tid(state.owner_tid) is not None
        how = f"futex wait on {self._argument} = 0x{wait.word:x}, the mutex's own word"
        return Layer("mutex", wait.word, state, "proved" if known else "corroborated", how)

    @staticmethod
    def _fits(wait: Wait, state: LockState) -> bool:
        """The system call is the one that this protocol sleeps in, for the value that its word has while others wait."""
        command, expected = futex_command(wait.call), wait.call.arguments[2] & 0xFFFFFFFF
        kind = state.words[-1].value
        if kind & protocols.INHERIT:
            return command in _LOCK_PI
        if command != _WAIT:
            return False
        if kind & protocols.PROTECT:
            return expected == state.words[0].value & ~3 | 2
        return bool(expected & protocols.FUTEX_WAITERS)


def _open(scene: Scene) -> Optional[LockReader]:
    if scene.process.os != "linux" or libc_of(scene.process) == "musl":
        return None
    return _Reader(scene)


KIND = LockKind("protocol-mutex", "locks", _open, rank=10)
