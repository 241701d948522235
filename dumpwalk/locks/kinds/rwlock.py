"""pthread_rwlock_t and std::shared_mutex: the writer is known in glibc, readers nowhere."""

from __future__ import annotations

from typing import Dict, Optional

from dumpwalk.core.libc import libc_of
from dumpwalk.locks import rwlocks
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.kinds.sleeping import sleeps_unexplained
from dumpwalk.locks.state import LockState
from dumpwalk.locks.waits import Layer, Wait

_PRIVATE = 0x80
"""FUTEX_PRIVATE_FLAG (include/uapi/linux/futex.h)."""


class _Reader(LockReader):
    def __init__(self, scene: Scene, libc: Optional[str]) -> None:
        self._process = scene.process
        self._libc = libc
        self._argument = scene.process.arch.syscall_arguments[0]
        self._known: Dict[int, LockState] = {}

    def layer(self, wait: Wait) -> Optional[Layer]:
        if not sleeps_unexplained(wait) or wait.word is None:
            return None
        expected = wait.call.arguments[2] & 0xFFFFFFFF
        if self._libc != "musl" and expected in (2, 3):
            for offset in rwlocks.GLIBC_WORDS:
                found = self._glibc(wait.word - offset)
                if found is not None:
                    return self._layer(wait, wait.word, found, f"+{offset} of the lock at 0x{found.address:x}")
        if self._libc != "glibc" and expected >> 31:
            found = rwlocks.read_musl(self._process.memory, wait.word, bool(wait.call.arguments[1] & _PRIVATE))
            if found is not None and found.words[0].value == expected:
                found = self._known.setdefault(found.address, found)
                return self._layer(wait, wait.word, found, "the lock's own word")
        return None

    def _glibc(self, address: int) -> Optional[LockState]:
        known = self._known.get(address)
        if known is None:
            known = rwlocks.read_glibc(self._process.memory, address)
            if known is not None:
                self._known[address] = known
        return known

    def _layer(self, wait: Wait, word: int, state: LockState, where: str) -> Layer:
        known = state.owner_tid is not None and self._process.thread_by_tid(state.owner_tid) is not None
        how = f"futex wait on {self._argument} = 0x{word:x}, {where}"
        return Layer("rwlock", word, state, "proved" if known else "corroborated", how)


def _open(scene: Scene) -> Optional[LockReader]:
    return _Reader(scene, libc_of(scene.process)) if scene.process.os == "linux" else None


KIND = LockKind("rwlock", "locks", _open, rank=11)
