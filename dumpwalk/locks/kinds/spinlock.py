"""pthread_spin_lock: a thread that runs and waits. The lock is one int without an owner.

Sources: glibc sysdeps/x86_64/nptl/pthread_spin_lock.S (1 free, 0 taken, each failed attempt counts on downwards; the address
stays in rdi), nptl/pthread_spin_lock.c (arm64: 0 free, 1 taken, in x0), musl src/thread/pthread_spin_lock.c (0 free, EBUSY).
Where the function has a name, it tells; where libc's code is not at hand, a count below zero under the first argument of a leaf
function of libc that the program itself called is what this loop leaves: consistent with it, no more.
"""

from __future__ import annotations

from typing import Optional

from dumpwalk.core.memory import read_u32, read_u64
from dumpwalk.core.process import Thread
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import LockState, Word
from dumpwalk.locks.waits import Layer, Wait

_FUNCTION = "pthread_spin_lock"
_LIBC = ("libc.so", "libc-", "libpthread", "ld-musl", "libc.musl")
_ATTEMPTS = 1 << 16
_BUSY = {"x86_64": (0, 16), "aarch64": (1, 16)}


class _Reader(LockReader):
    def __init__(self, scene: Scene) -> None:
        self._process = scene.process

    def layer(self, wait: Wait) -> Optional[Layer]:
        if wait.call.inside or wait.lock is not None:
            return None
        arch = self._process.arch
        address = wait.thread.registers.get(arch.arguments[0], 0)
        value = read_u32(self._process.memory, address) if address > 0xFFFF and not address & 3 else None
        if value is None:
            return None
        counted = arch.name == "x86_64" and -_ATTEMPTS < value - (1 << 32) < 0
        named = self._named(wait.thread)
        if not (named and (counted or value in _BUSY[arch.name]) or counted and self._leaf_of_libc(wait.thread)):
            return None
        seen = f"in {_FUNCTION}" if named else "in a leaf function of libc"
        how = f"{seen}, {arch.arguments[0]} = 0x{address:x}, where a taken spin lock lies"
        return Layer("spinlock", address, _state(address, value), "corroborated" if named else "inferred", how)

    def _named(self, thread: Thread) -> bool:
        frames = thread.frames()
        return bool(frames and frames[0].function and frames[0].function.split("@")[0] == _FUNCTION)

    def _leaf_of_libc(self, thread: Thread) -> bool:
        """At its pc is libc, and the word at its stack pointer is an address of another module: called from there."""
        arch = self._process.arch
        here = self._process.module_at(thread.registers.get(arch.pc, 0))
        back = read_u64(self._process.memory, thread.registers.get(arch.sp, 0))
        caller = self._process.module_at(back) if back else None
        core = self._process.corefile
        if core is not None and core.files_damaged and back and (here is None or caller is None):
            return True  # which file it is was lost; the count remains
        if here is None or caller is None or not here.name.startswith(_LIBC):
            return False
        return not caller.name.startswith(_LIBC)


def _state(address: int, value: int) -> LockState:
    return LockState(
        address=address,
        implementation="spinlock",
        locked=True,
        owner_tid=None,
        recursion=None,
        mutex=address,
        size=4,
        words=(Word("lock", address, value, reading="taken"),),
        kind="spinlock",
    )


def _open(scene: Scene) -> Optional[LockReader]:
    return _Reader(scene) if scene.process.os == "linux" else None


KIND = LockKind("spinlock", "locks", _open, rank=16)
