"""A thread whose priority-inheriting mutex would deadlock: the kernel says EDEADLK, and glibc parks the thread for ever.

Source: glibc nptl/pthread_mutex_lock.c, "Delay the thread indefinitely": where FUTEX_LOCK_PI fails with EDEADLK (or ESRCH) for
a mutex that does not report errors, the thread sleeps, without a time limit, on a word of its own stack that holds 0 and that
nobody else knows. The mutex is not in the system call any more: a callee-saved register holds it, or the address of its
`__kind` (+0x10; seen in 2.36). It is believed where the mutex inherits priority and its owner is this thread, or waits for
this thread.
"""

from __future__ import annotations

from typing import Dict, Iterator, Optional, Tuple

from dumpwalk.core.grade import Grade
from dumpwalk.core.libc import libc_of
from dumpwalk.core.memory import read_u32, read_words
from dumpwalk.core.process import Thread
from dumpwalk.locks import glibc_protocols as protocols
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.kinds.sleeping import has_no_end, sleeps_unexplained
from dumpwalk.locks.state import LockState
from dumpwalk.locks.syscalls import futex_command
from dumpwalk.locks.waits import Layer, Wait

_WAIT_BITSET = 9
_LOCK_PI = (6, 13)
_OWN_STACK = 0x400
"""Bytes above the stack pointer in which the word lies; pthread_mutex_lock's own frame is among them."""
_KIND_AT = 0x10
_OWNERS_FOLLOWED = 1_000


class _Reader(LockReader):
    def __init__(self, scene: Scene) -> None:
        self._process = scene.process
        self._argument = scene.process.arch.syscall_arguments[0]
        self._sleepers: Dict[int, int] = {}
        """Thread index to the word it sleeps on in FUTEX_LOCK_PI."""
        for wait in scene.waits:
            if wait.call.kind == "futex" and wait.call.inside and futex_command(wait.call) in _LOCK_PI:
                self._sleepers[wait.thread.index] = wait.call.arguments[0]

    def layer(self, wait: Wait) -> Optional[Layer]:
        if not sleeps_unexplained(wait) or wait.word is None or not self._parked(wait):
            return None
        found = [(where, state) for where, state in self._mutexes(wait.thread) if self._closes(wait.thread, state)]
        if len({state.address for _, state in found}) != 1:
            return None
        where, state = found[0]
        grade: Grade = "proved" if where in self._process.arch.callee_saved else "corroborated"
        how = (
            f"parked for ever on a word of its own stack, {self._argument} = 0x{wait.word:x}, as pthread_mutex_lock does when the "
            f"kernel sees a deadlock; {where} leads to the mutex"
        )
        return Layer("mutex", wait.word, state, grade, how)

    def _parked(self, wait: Wait) -> bool:
        stack = wait.thread.registers.get(self._process.arch.sp, 0)
        near = wait.word is not None and 0 <= wait.word - stack < _OWN_STACK
        return bool(
            near
            and has_no_end(wait)
            and futex_command(wait.call) == _WAIT_BITSET
            and wait.call.arguments[2] & 0xFFFFFFFF == 0
            and read_u32(self._process.memory, wait.word or 0) == 0
        )

    def _mutexes(self, thread: Thread) -> Iterator[Tuple[str, LockState]]:
        """Held priority-inheriting mutexes that its callee-saved registers lead to; else words of its stack."""
        found = False
        for name in self._process.arch.callee_saved:
            state = self._mutex(thread.registers.get(name, 0))
            if state is not None:
                found = True
                yield name, state
        stack = thread.registers.get(self._process.arch.sp, 0)
        words = read_words(self._process.memory, stack, 64) if not found else None
        for position, value in enumerate(words or ()):
            state = self._mutex(value)
            if state is not None:
                yield f"[{self._process.arch.sp}+0x{8 * position:x}]", state

    def _mutex(self, value: int) -> Optional[LockState]:
        for address in (value, value - _KIND_AT):
            if address < 0x1000 or address & 7:
                continue
            state = protocols.read(self._process.memory, address)
            if state is not None and state.owner_tid is not None and state.words[-1].value & protocols.INHERIT:
                return state
        return None

    def _closes(self, thread: Thread, state: LockState) -> bool:
        """Following owners from this mutex ends at the thread itself: what the kernel saw."""
        for _ in range(_OWNERS_FOLLOWED):
            owner = self._process.thread_by_tid(state.owner_tid) if state.owner_tid else None
            if owner is None:
                return False
            if owner is thread:
                return True
            word = self._sleepers.get(owner.index)
            following = protocols.read(self._process.memory, word) if word is not None else None
            if following is None:
                return False
            state = following
        return False


def _open(scene: Scene) -> Optional[LockReader]:
    if scene.process.os != "linux" or libc_of(scene.process) == "musl":
        return None
    return _Reader(scene)


KIND = LockKind("parked", "locks", _open, rank=15)
