"""Which queued work item would let a blocked worker go on.

A worker blocks on a task. The task is queued itself, or cannot be done before another one that is; or a worker runs it that is
blocked in the same way.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.tasks.task import TaskState
from dumpwalk.coreclr.threadpool.pool import Pool, Worker
from dumpwalk.coreclr.threadpool.queues import QueuedItem
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Held:
    """A worker that cannot go on before a work item is run, or before another worker of the pool goes on."""

    worker: Worker
    task: TaskState
    item: Optional[QueuedItem]
    way: Tuple[int, ...] = ()
    """Tasks from the queued one to the one that the worker waits for."""
    behind: Optional[Thread] = None
    """The worker that runs the task, where none is queued."""


def held_workers(pool: Pool) -> Tuple[List[Held], bool]:
    """The workers that are so held, and whether every queued item was followed that had to be."""
    wanted = {t.address: t for w in pool.workers if w.waits is not None for t in w.waits.tasks}
    items, complete = _items_for(pool, set(wanted))
    runners = {r.task.address: w for w in pool.workers for r in w.running}
    found: Dict[int, Held] = {}
    for worker in pool.workers:
        for task in worker.waits.tasks if worker.waits is not None else ():
            if task.address in items:
                item, way = items[task.address]
                found[worker.thread.index] = Held(worker, task, item, way)
                break
    changed = True
    while changed:
        changed = False
        for worker in pool.workers:
            if worker.waits is None or worker.thread.index in found:
                continue
            for task in worker.waits.tasks:
                runner = runners.get(task.address)
                if runner is not None and runner.thread.index in found:
                    found[worker.thread.index] = Held(worker, task, None, (), runner.thread)
                    changed = True
                    break
    return [found[index] for index in sorted(found)], complete


def _items_for(pool: Pool, wanted: set) -> Tuple[Dict[int, Tuple[QueuedItem, Tuple[int, ...]]], bool]:
    """Task to the queued item that must run before it is done."""
    found: Dict[int, Tuple[QueuedItem, Tuple[int, ...]]] = {}
    for item in pool.queues.items:
        if item.address in wanted and _waits_in_queue(pool, item.address):
            found.setdefault(item.address, (item, (item.address,)))
    followed = 0
    for item in pool.queues.items:
        if len(found) == len(wanted):
            return found, True
        followed += 1
        if followed > limits.QUEUED_ITEMS_FOLLOWED:
            return found, False
        if not _waits_in_queue(pool, item.address):
            continue
        for task, way in pool.tasks.released_by(item.address):
            if task in wanted:
                found.setdefault(task, (item, way))
    return found, True


def _waits_in_queue(pool: Pool, address: int) -> bool:
    """A task that has not begun, or an async method that stands at an await; nothing but a worker can move it on."""
    state = pool.tasks.state(address)
    return state is not None and not state.done and not state.cancellable and (state.is_box or not state.invoked)
