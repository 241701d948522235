"""Which queued work item would let a blocked worker go on.

A worker blocks on a task. The task is queued itself, or cannot be done before another one that is; or a worker runs it that is
blocked in the same way. Or it waits for a lock, whose owner, of the pool or not, is blocked in the same way.
"""

from __future__ import annotations

from typing import Dict, Iterator, Mapping, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.grade import Grade
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.tasks.machine import is_box
from dumpwalk.coreclr.tasks.task import TaskState
from dumpwalk.coreclr.tasks.waits import TaskWait
from dumpwalk.coreclr.threadpool.pool import Pool, Worker
from dumpwalk.coreclr.threadpool.queues import QueuedItem
from dumpwalk.coreclr.types.objects import Value
from dumpwalk.dataclass import dataclass

_INVOKER = "s_invokeAsyncStateMachineBox"
"""The delegate that goes on with the box it is called with (ThreadPoolWorkQueue.cs), the same in 3.1 to 10."""
_CONTINUATION = "System.Threading.Tasks.AwaitTaskContinuation"


@dataclass(frozen=True)
class LockWait:
    """A thread in the queue of a lock that one thread has."""

    address: int
    label: str
    owner: Thread
    grade: Grade
    """Proved where both the wait and the owner are."""
    timed: bool


@dataclass(frozen=True)
class Held:
    """A thread that cannot go on before a work item is run, or before another thread goes on that cannot."""

    worker: Worker
    task: Optional[TaskState]
    """None where it waits for a lock."""
    item: Optional[QueuedItem]
    way: Tuple[int, ...] = ()
    """Tasks from the queued one to the one that the worker waits for."""
    behind: Optional[Thread] = None
    """The thread that runs the task, where none is queued, or has the lock."""
    lock: Optional[LockWait] = None

    @property
    def timed(self) -> bool:
        """The wait gives up by itself."""
        waits = self.lock if self.lock is not None else self.worker.waits
        return waits is not None and waits.timed


@dataclass(frozen=True)
class Release:
    """What would let blocked workers go on."""

    held: Tuple[Held, ...]
    """Workers."""
    through: Tuple[Held, ...]
    """Threads outside of the pool that have locks for which workers wait, and are blocked in the same way."""
    followed: bool
    """Every queued item was followed that had to be."""


def held_workers(pool: Pool, waits: Mapping[int, TaskWait], locks: Mapping[int, LockWait]) -> Release:
    """The workers that are so held. `waits` and `locks`: by a thread's index, what it waits for."""
    outside = tuple(_owners(pool, waits, locks))
    people = (*pool.workers, *outside)
    wanted = {t.address: t for one in people if one.waits is not None for t in one.waits.tasks}
    items, complete = _items_for(pool, set(wanted))
    runners = {r.task.address: w.thread for w in pool.workers for r in w.running}
    found: Dict[int, Held] = {}
    for one in people:
        for task in one.waits.tasks if one.waits is not None else ():
            if task.address in items:
                item, way = items[task.address]
                found[one.thread.index] = Held(one, task, item, way)
                break
    changed = True
    while changed:
        changed = False
        for one in people:
            held = None if one.thread.index in found else _behind(one, found, runners, locks)
            if held is not None:
                found[one.thread.index] = held
                changed = True
    workers = {worker.thread.index for worker in pool.workers}
    inside = tuple(found[index] for index in sorted(found) if index in workers)
    return Release(inside, tuple(found[i] for i in sorted(found) if i not in workers), complete)


def _owners(pool: Pool, waits: Mapping[int, TaskWait], locks: Mapping[int, LockWait]) -> Iterator[Worker]:
    """Threads outside of the pool that have the locks, and the locks that these wait for."""
    seen = {worker.thread.index for worker in pool.workers}
    work = [locks[index] for index in sorted(seen) if index in locks]
    while work:
        owner = work.pop(0).owner
        if owner.index not in seen:
            seen.add(owner.index)
            yield Worker(owner, False, waits.get(owner.index), ())
            if owner.index in locks:
                work.append(locks[owner.index])


def _behind(
    one: Worker, found: Mapping[int, Held], runners: Mapping[int, Thread], locks: Mapping[int, LockWait]
) -> Optional[Held]:
    """Held by a thread that is."""
    for task in one.waits.tasks if one.waits is not None else ():
        runner = runners.get(task.address)
        if runner is not None and runner.index in found:
            return Held(one, task, None, (), runner)
    lock = locks.get(one.thread.index) if one.waits is None else None
    if lock is not None and lock.owner.index in found:
        return Held(one, None, None, (), lock.owner, lock)
    return None


def _items_for(pool: Pool, wanted: set) -> Tuple[Dict[int, Tuple[QueuedItem, Tuple[int, ...]]], bool]:
    """Task to the queued item that must run before it is done."""
    found: Dict[int, Tuple[QueuedItem, Tuple[int, ...]]] = {}
    for item in pool.queues.items:
        if item.address in wanted and _waits_in_queue(pool, item.address):
            found.setdefault(item.address, (item, (item.address,)))
    for followed, item in enumerate(pool.queues.items):
        if len(found) == len(wanted):
            return found, True
        if followed >= limits.QUEUED_ITEMS_FOLLOWED:
            return found, False
        moved = _moved(pool, item.address)
        for task, way in pool.tasks.released_by(moved) if moved is not None else ():
            if task in wanted:
                found.setdefault(task, (item, way))
    return found, True


def _moved(pool: Pool, address: int) -> Optional[int]:
    """The task or box that goes on when a queued object is run: itself, or the one that the framework's own callback goes on
    with (a source of values has it queued so). What a callback of the program's own does with its state is not known."""
    if _waits_in_queue(pool, address):
        return address
    tasks = pool.tasks
    if tasks.view.definition_of(address) == _CONTINUATION:
        action = tasks.reference(address, "m_action")
        box = tasks.reference(action, "_target") if action else None
    else:
        callback = tasks.reference(address, "_callback")
        invoker = tasks.view.static("System.Threading.ThreadPool", _INVOKER) if callback else None
        same = isinstance(invoker, Value) and invoker.value == callback
        box = tasks.reference(address, "_state") if same else None
    return box if box and tasks.method_in(box) is not None and _waits_in_queue(pool, box) else None


def _waits_in_queue(pool: Pool, address: int) -> bool:
    """A task that has not begun, or an async method that stands at an await; nothing but a worker can move it on."""
    state = pool.tasks.state(address)
    if state is None:  # the box of a pooled builder is no task
        definition = pool.tasks.view.definition_of(address)
        return isinstance(definition, str) and is_box(definition)
    return not state.done and not state.cancellable and (state.is_box or not state.invoked)
