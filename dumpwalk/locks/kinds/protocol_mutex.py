"""Mutexes with a protocol: robust, priority-inheriting, priority-protecting (glibc).

The kernel keeps the queue of a priority-inheriting one: it sets FUTEX_WAITERS before a thread sleeps, and a call that would
close a ring of such waits fails with EDEADLK (kernel/locking/rtmutex.c, a full walk of the chain; kinds/parked.py is about what
glibc does then). So a ring of threads that all sleep in FUTEX_LOCK_PI contradicts itself: owner words were overwritten, and
nothing is proved by them.
"""

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
_OWNERS_FOLLOWED = 1_000


class _Reader(LockReader):
    def __init__(self, scene: Scene) -> None:
        self._memory = scene.process.memory
        self._argument = scene.process.arch.syscall_arguments[0]
        self._process = scene.process
        self._sleeps = {
            w.thread.index: w.word
            for w in scene.waits
            if w.word is not None and sleeps_unexplained(w) and futex_command(w.call) in _LOCK_PI
        }
        """Threads in FUTEX_LOCK_PI and the words they sleep on."""

    def layer(self, wait: Wait) -> Optional[Layer]:
        if not sleeps_unexplained(wait) or wait.word is None:
            return None
        state = protocols.read(self._memory, wait.word)
        if state is None or not self._fits(wait, state):
            return None
        known = state.owner_tid is not None and self._process.thread_by_tid(state.owner_tid) is not None
        how = f"futex wait on {self._argument} = 0x{wait.word:x}, the mutex's own word"
        if known and self._ring(wait.thread.index, state):
            how += "; a ring of FUTEX_LOCK_PI, which the kernel refuses: the owner's word is not to be believed"
            return Layer("mutex", wait.word, state, "unresolved", how)
        return Layer("mutex", wait.word, state, "proved" if known else "corroborated", how)

    def _ring(self, waiter: int, state: LockState) -> bool:
        """Do owners of priority-inheriting mutexes lead from this one back to the waiter, each of them asleep for the next?"""
        following: Optional[LockState] = state
        for _ in range(_OWNERS_FOLLOWED):
            tid = (
                following.owner_tid if following is not None and following.words[-1].value & protocols.INHERIT else None
            )
            owner = self._process.thread_by_tid(tid) if tid is not None else None
            if owner is None or owner.index == waiter:
                return owner is not None
            word = self._sleeps.get(owner.index)
            following = protocols.read(self._memory, word) if word is not None else None
        return False

    @staticmethod
    def _fits(wait: Wait, state: LockState) -> bool:
        """The system call is the one that this protocol sleeps in, for the value that its word has while others wait."""
        command, expected = futex_command(wait.call), wait.call.arguments[2] & 0xFFFFFFFF
        kind = state.words[-1].value
        if kind & protocols.INHERIT:
            return command in _LOCK_PI and bool(state.words[0].value & protocols.FUTEX_WAITERS)
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
