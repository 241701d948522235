"""Semaphores, condition variables and barriers: nobody owns them, so a wait for one proves nothing and excludes nothing."""

from __future__ import annotations

from typing import Dict, Iterable, Optional, Tuple

from dumpwalk.core.libc import libc_of
from dumpwalk.locks.events import Event, read_event, read_musl_event
from dumpwalk.locks.graph import Node
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.kinds.sleeping import has_no_end, sleeps_unexplained
from dumpwalk.locks.waits import Layer, Wait


class _Reader(LockReader):
    def __init__(self, scene: Scene, libc: Optional[str]) -> None:
        self._process = scene.process
        self._libc = libc
        self._events: Dict[Node, Event] = {}

    def layer(self, wait: Wait) -> Optional[Layer]:
        if not sleeps_unexplained(wait) or wait.word is None:
            return None
        expected, operation = wait.call.arguments[2], wait.call.arguments[1] & 0xFFFFFFFF
        memory, found = self._process.memory, None
        if self._libc != "musl":
            threads = len(self._process.threads)
            found = read_event(memory, wait.word, expected, operation, not has_no_end(wait), threads)
        if found is None and self._libc != "glibc":
            stack = wait.thread.registers.get(self._process.arch.sp, 0)
            found = read_musl_event(memory, wait.word, expected, operation, stack)
        if found is None:
            return None
        node = Node("event", found.address)
        self._events[node] = found
        return Layer(
            found.kind,
            wait.word,
            None,
            "corroborated",
            found.how,
            target=node,
            explained=f"a {found.kind}, which nobody owns",
        )

    def labels(self) -> Iterable[Tuple[Node, str]]:
        return [(node, f"{event.kind} 0x{event.address:x}") for node, event in self._events.items()]


def _open(scene: Scene) -> Optional[LockReader]:
    return _Reader(scene, libc_of(scene.process)) if scene.process.os == "linux" else None


KIND = LockKind("event", "locks", _open, rank=20)
