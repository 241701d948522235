"""pthread_join: the wait for the end of a thread.

glibc sleeps on the `tid` of the joined thread's own struct, for the value that it has, which the kernel clears at its end
(nptl/pthread_join_common.c; x64: +0x2D0 behind a header that points at itself; arm64: +0xD0). musl sleeps on
`detach_state`, two words behind `tid` (src/thread/pthread_join.c, src/internal/pthread_impl.h).
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from dumpwalk.core.grade import Grade
from dumpwalk.core.libc import libc_of
from dumpwalk.core.memory import read_u32, read_u64
from dumpwalk.core.process import Thread
from dumpwalk.locks.graph import Edge, Node
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.kinds.sleeping import sleeps_unexplained
from dumpwalk.locks.waits import Layer, Wait

_GLIBC_TID = 0x2D0
_MUSL_STATE = (0x38, 0x28)
"""`detach_state` from the struct's begin, on x64 and on arm64; `tid` lies 8 bytes before it."""
_MUSL_JOINABLE = (1, 2)
_PRIVATE = 0x80


class _Reader(LockReader):
    def __init__(self, scene: Scene, libc: Optional[str]) -> None:
        self._process = scene.process
        self._libc = libc
        self._argument = scene.process.arch.syscall_arguments[0]
        self._joined: Dict[Node, Tuple[Thread, Grade, str]] = {}

    def layer(self, wait: Wait) -> Optional[Layer]:
        if not sleeps_unexplained(wait) or wait.word is None:
            return None
        expected = wait.call.arguments[2] & 0xFFFFFFFF
        tid = self._by_glibc(wait, wait.word, expected) or self._by_musl(wait.word, expected)
        joined = self._process.thread_by_tid(tid) if tid else None
        if joined is None or joined is wait.thread:
            return None
        node = Node("thread-end", wait.word)
        grade: Grade = "proved" if self._is_struct(wait.word) else "corroborated"
        where = f"the word at 0x{wait.word:x} is in thread {joined.index}'s own record, which its end clears"
        self._joined[node] = (joined, grade, where)
        how = f"futex wait on {self._argument} = 0x{wait.word:x}, in the record of tid {tid}: a join"
        return Layer("join", wait.word, None, grade, how, target=node)

    def _by_glibc(self, wait: Wait, word: int, expected: int) -> Optional[int]:
        if self._libc == "musl" or wait.call.arguments[1] & _PRIVATE or not expected:
            return None
        return expected if read_u32(self._process.memory, word) == expected else None

    def _by_musl(self, word: int, expected: int) -> Optional[int]:
        if self._libc == "glibc" or expected not in _MUSL_JOINABLE or not self._is_struct(word):
            return None
        return read_u32(self._process.memory, word - 8)

    def _is_struct(self, word: int) -> bool:
        """The words before it are those of a thread's own struct, which begins with its own address."""
        memory = self._process.memory
        begin = word - _GLIBC_TID
        x64_glibc = self._libc != "musl" and self._process.arch.name == "x86_64"
        if x64_glibc and read_u64(memory, begin) == begin == read_u64(memory, begin + 0x10):
            return True
        return self._libc != "glibc" and any(read_u64(memory, word - at) == word - at for at in _MUSL_STATE)

    def edges(self) -> Iterable[Edge]:
        found: List[Edge] = []
        for node, (thread, grade, how) in self._joined.items():
            found.append(Edge(node, Node("thread", thread.index), "ended-by", grade, how))
        return found

    def labels(self) -> Iterable[Tuple[Node, str]]:
        return [(node, f"the end of thread {thread.index}") for node, (thread, _, _) in self._joined.items()]


def _open(scene: Scene) -> Optional[LockReader]:
    return _Reader(scene, libc_of(scene.process)) if scene.process.os == "linux" else None


KIND = LockKind("thread-end", "locks", _open, rank=12)
