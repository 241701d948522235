"""GC.WaitForPendingFinalizers: a thread waits until the finalizer thread has emptied its queue.

The finalizer thread is g_pFinalizerThread; while it runs a finalizer it has managed frames, which it has not while it waits
for work. Source: src/coreclr/vm/finalizerthread.cpp (FinalizerThread::FinalizerThreadWait, FinalizerThreadWorker).
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from dumpwalk.coreclr.locks.reader import AREA
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.locks.graph import Edge, Node
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.waits import Layer, Wait

FINALIZERS = Node("finalizer", 0)
_FRAMES = 4


class FinalizersReader(LockReader):
    """Who waits for the finalizer thread, and what it runs."""

    def __init__(self, around: Surroundings) -> None:
        self._layers: Dict[int, Layer] = {}
        self._edges: List[Edge] = []
        record = around.managed.by_address(around.managed.finalizer)
        thread = around.thread_of(record)
        for wait in around.blocked():
            frames = around.managed_frames(wait.thread)[:_FRAMES]
            waits = any(
                f.method.type_name == "System.GC" and "WaitForPendingFinalizers" in f.method.name for f in frames
            )
            if waits and wait.thread.index not in around.resolved:
                around.resolved[wait.thread.index] = "finalizers"
                how = "GC.WaitForPendingFinalizers is on its stack"
                self._layers[wait.thread.index] = Layer("finalizers", None, None, "proved", how, FINALIZERS)
        running = around.managed_frames(thread) if thread is not None else []
        if self._layers and thread is not None and running:
            how = f"g_pFinalizerThread is 0x{around.managed.finalizer:x}; it runs {running[-1].method.full}"
            finalize = next((f for f in running if f.method.name == "Finalize"), None)
            if finalize is not None:
                how = f"g_pFinalizerThread is 0x{around.managed.finalizer:x}; it runs {finalize.method.full}"
            self._edges.append(Edge(FINALIZERS, Node("thread", thread.index), "runs", "proved", how, record))

    def layer(self, wait: Wait) -> Optional[Layer]:
        return self._layers.get(wait.thread.index)

    def edges(self) -> Iterable[Edge]:
        return self._edges

    def labels(self) -> Iterable[Tuple[Node, str]]:
        return [(FINALIZERS, "the queue of finalizers")] if self._layers else []


def _open(scene: Scene) -> Optional[LockReader]:
    around = scene.of(Surroundings)
    return FinalizersReader(around) if around is not None else None


KIND = LockKind("finalizers", AREA, _open, 71)
