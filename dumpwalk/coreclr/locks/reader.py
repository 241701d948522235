"""The readers of managed locks as kinds of locks: rows become states, waiters become layers over the native waits."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Optional, Sequence

from dumpwalk.coreclr.locks.model import ManagedLock
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.locks.kind import LockReader, Scene
from dumpwalk.locks.state import LockState
from dumpwalk.locks.waits import Layer, Wait

AREA = "managed-locks"


class ManagedReader(LockReader):
    """Locks that were read at once, when the kind was opened."""

    def __init__(self, kind: str, rows: Sequence[ManagedLock], lacking: Sequence[str]) -> None:
        self._states: List[LockState] = []
        self._layers: Dict[int, Layer] = {}
        self._lacking = list(lacking)
        for row in rows:
            state = row.state()
            self._states.append(state)
            for waiter in row.waiters:
                how = waiter.how if waiter.wants == "enter" else f"{waiter.how}; it wants to {waiter.wants}"
                wants = "" if waiter.wants == "enter" else waiter.wants
                layer = Layer(kind, None, state, waiter.grade, how, seen=waiter.seen, wants=wants)
                self._layers.setdefault(waiter.thread.index, layer)

    def layer(self, wait: Wait) -> Optional[Layer]:
        return self._layers.get(wait.thread.index)

    def found(self) -> Iterable[LockState]:
        return self._states

    def lacks(self) -> Iterable[str]:
        return self._lacking


def managed_reader(scene: Scene, kind: str, read: Callable[[Surroundings], List[ManagedLock]]) -> Optional[LockReader]:
    """The reader of one kind; None for a process without managed threads."""
    around = scene.of(Surroundings)
    if around is None:
        return None
    before = len(around.lacking)
    rows = read(around)
    for row in rows:
        for waiter in row.waiters:
            around.resolved.setdefault(waiter.thread.index, kind)
    return ManagedReader(kind, rows, around.lacking[before:])
