"""Task.Wait, Result, GetAwaiter().GetResult, WaitAll: a thread blocks until a task is done, and another thread may run it.

The edge from the task to a thread is drawn where that thread runs the task, or one that the task awaits.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from dumpwalk.coreclr.locks.reader import AREA
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.tasks.running import running_tasks
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.tasks.waits import task_wait
from dumpwalk.locks.graph import Edge, Node
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.waits import Layer, Wait

_NOBODY = "waits for something that has no owner"


class TaskReader(LockReader):
    """Threads that block on tasks."""

    def __init__(self, around: Surroundings) -> None:
        self._layers: Dict[int, Layer] = {}
        self._edges: List[Edge] = []
        self._labels: Dict[Node, str] = {}
        tasks = Tasks(around.view)
        for wait in around.blocked():
            if wait.thread.index not in around.resolved:
                found = task_wait(around, tasks, wait)
                if found is not None:
                    around.task_waits[wait.thread.index] = found
        if around.task_waits:
            self._runs(around, tasks)
        led_on = {edge.source for edge in self._edges}
        for index, found in around.task_waits.items():
            nodes = [Node("task", task.address) for task in found.tasks]
            node = next((n for n in nodes if n in led_on), nodes[0])
            explained = "" if node in led_on else _NOBODY
            self._layers[index] = Layer("task", None, None, found.grade, found.how, node, explained, found.seen)
            for node, task in zip(nodes, found.tasks):
                self._labels[node] = f"the task {task.what} at 0x{task.address:x}"

    def _runs(self, around: Surroundings, tasks: Tasks) -> None:
        wanted = {task.address for found in around.task_waits.values() for task in found.tasks}
        for thread in around.process.threads:
            if around.record(thread) is None:
                continue
            for running in running_tasks(around, tasks, thread):
                for address, way in tasks.released_by(running.task.address):
                    if address in wanted:
                        how = running.how
                        if len(way) > 1:
                            how += f"; 0x{address:x} cannot be done before it, by the continuations of the tasks"
                        target = Node("thread", thread.index)
                        self._edges.append(Edge(Node("task", address), target, "runs", running.grade, how, running))

    def layer(self, wait: Wait) -> Optional[Layer]:
        return self._layers.get(wait.thread.index)

    def edges(self) -> Iterable[Edge]:
        return self._edges

    def labels(self) -> Iterable[Tuple[Node, str]]:
        return list(self._labels.items())


def _open(scene: Scene) -> Optional[LockReader]:
    around = scene.of(Surroundings)
    return TaskReader(around) if around is not None else None


KIND = LockKind("task", AREA, _open, 75)
