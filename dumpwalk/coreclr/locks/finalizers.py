"""Who waits for the finalizer thread: in GC.WaitForPendingFinalizers until its queue is empty, in Environment.Exit since 5 until
it has run the handlers of the process's end (FinalizerThread::RaiseShutdownEvents).

The finalizer thread is g_pFinalizerThread; while it runs a finalizer it has managed frames, which it has not while it waits
for work. Source: src/coreclr/vm/finalizerthread.cpp (FinalizerThread::FinalizerThreadWait, FinalizerThreadWorker).
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.reader import AREA
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.locks.graph import Edge, Node
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.waits import Layer, Wait

FINALIZERS = Node("finalizer", 0)
SHUT_DOWN = Node("finalizer", 1)
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
        if running and thread is not None:
            self._exits(around, thread, running[-1].method.full)
        if any(layer.target is FINALIZERS for layer in self._layers.values()) and thread is not None and running:
            how = f"g_pFinalizerThread is 0x{around.managed.finalizer:x}; it runs {running[-1].method.full}"
            finalize = next((f for f in running if f.method.name == "Finalize"), None)
            if finalize is not None:
                how = f"g_pFinalizerThread is 0x{around.managed.finalizer:x}; it runs {finalize.method.full}"
            self._edges.append(Edge(FINALIZERS, Node("thread", thread.index), "runs", "proved", how, record))

    def _exits(self, around: Surroundings, finalizer: Thread, runs: str) -> None:
        """Nothing in memory tells what Exit waits for: its stack and the source do, so that no edge of it is proved."""
        for wait in around.blocked():
            frames = around.managed_frames(wait.thread)
            innermost = frames[0].method if frames and wait.thread is not finalizer else None
            if innermost is None or innermost.type_name != "System.Environment" or "Exit" not in innermost.name:
                continue
            around.resolved[wait.thread.index] = "exit"
            how = "Environment.Exit is its innermost managed frame, and the finalizer thread runs managed code"
            self._layers[wait.thread.index] = Layer("exit", None, None, "corroborated", how, SHUT_DOWN)
        if any(layer.target is SHUT_DOWN for layer in self._layers.values()):
            how = f"g_pFinalizerThread is 0x{around.managed.finalizer:x}; it runs {runs}"
            self._edges.append(Edge(SHUT_DOWN, Node("thread", finalizer.index), "runs", "corroborated", how))

    def layer(self, wait: Wait) -> Optional[Layer]:
        return self._layers.get(wait.thread.index)

    def edges(self) -> Iterable[Edge]:
        return self._edges

    def labels(self) -> Iterable[Tuple[Node, str]]:
        return [(FINALIZERS, "the queue of finalizers"), (SHUT_DOWN, "the handlers of the process's end")]


def _open(scene: Scene) -> Optional[LockReader]:
    around = scene.of(Surroundings)
    return FinalizersReader(around) if around is not None else None


KIND = LockKind("finalizers", AREA, _open, 71)
