"""The thread pool as its own memory counts it, and its workers as the stacks show them.

Source: System.Private.CoreLib/src/System/Threading/PortableThreadPool.cs (_minThreads, _maxThreads, _separated.counts),
PortableThreadPool.ThreadCounts.cs (16 bits each: threads that process work, that exist, that it aims at), checked in 8.0.4, 9.0.5
and 10.0.12. Before 6 the pool is the runtime's native one, which is not read.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.tasks.running import Running, running_tasks
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.tasks.waits import TaskWait
from dumpwalk.coreclr.threadpool.queues import QueuedItem, Queues, read_queues
from dumpwalk.coreclr.types.objects import Value
from dumpwalk.coreclr.words import NotRead, Unknown
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import Word

POOL = "System.Threading.PortableThreadPool"
WORKER = POOL + "+WorkerThread"
_IDLE = "System.Threading.LowLevelLifoSemaphore"
_CALLBACKS = ("_callback", "callback", "m_action", "_action")


@dataclass(frozen=True)
class Counts:
    """The pool's own numbers; `word` is where they are."""

    working: int
    existing: int
    goal: int
    minimum: int
    maximum: int
    word: Word
    maximum_word: Word

    @property
    def at_limit(self) -> bool:
        return self.existing >= self.maximum


@dataclass(frozen=True)
class Worker:
    """One thread of the pool."""

    thread: Thread
    idle: bool
    waits: Optional[TaskWait]
    running: Tuple[Running, ...]


@dataclass(frozen=True)
class Pool:
    address: int
    counts: Counts
    workers: Tuple[Worker, ...]
    queues: Queues
    tasks: Tasks

    def item_words(self, item: QueuedItem) -> str:
        """What a work item runs, for people."""
        tasks = self.tasks
        state = tasks.state(item.address)
        if state is not None:
            return state.what
        for field in _CALLBACKS:
            callback = tasks.reference(item.address, field)
            if callback:
                return tasks.delegate(callback)
        name = tasks.method_in(item.address) or tasks.view.type_of(item.address)
        return name if isinstance(name, str) else "an object that could not be named"


def read_counts(tasks: Tasks) -> Tuple[int, Counts]:
    """The pool's address and numbers. Raises NotRead; `absent` where the process has no such pool."""
    view = tasks.view
    static = view.static(POOL, "ThreadPoolInstance")
    if isinstance(static, Unknown):
        raise NotRead(static.why, static.absent)
    pool = static.value
    if not isinstance(pool, int) or not pool:
        raise NotRead("the process has not made its thread pool", absent=True)
    separated = view.field(pool, "_separated")
    if isinstance(separated, Unknown):
        raise NotRead(separated.why)
    counts = view.struct_field(separated.method_table, separated.address, "counts")
    low, high = view.field(pool, "_minThreads"), view.field(pool, "_maxThreads")
    if not (isinstance(counts, Value) and isinstance(low, Value) and isinstance(high, Value)):
        raise NotRead(f"the thread pool at 0x{pool:x} has no counts of the known form")
    least, most = int(low.value or 0), int(high.value or 0)
    packed = view.words.u64(counts.address, "the thread pool's counts")
    working, existing, goal = packed & 0xFFFF, packed >> 16 & 0xFFFF, packed >> 32 & 0xFFFF
    if working > existing or packed >> 48 or not 0 < least <= most:
        raise NotRead(f"the thread pool's counts 0x{packed:x} at 0x{counts.address:x} do not fit each other")
    reading = f"{working} working, {existing} existing, {goal} aimed at"
    word = Word("PortableThreadPool._separated.counts", counts.address, packed, 8, reading)
    limit = Word("PortableThreadPool._maxThreads", high.address, most, 2)
    return pool, Counts(working, existing, goal, least, most, word, limit)


def read_pool(around: Surroundings, tasks: Tasks, waits: List[TaskWait]) -> Pool:
    """The whole pool. Raises NotRead like `read_counts`."""
    address, counts = read_counts(tasks)
    by_thread = {wait.thread.index: wait for wait in waits}
    workers = []
    for thread in around.process.threads:
        methods = [f.method for f in around.managed_frames(thread)]
        if any(m.type_name == WORKER for m in methods):
            idle = any(m.type_name == _IDLE for m in methods)
            running = () if idle else tuple(running_tasks(around, tasks, thread))
            workers.append(Worker(thread, idle, by_thread.get(thread.index), running))
    return Pool(address, counts, tuple(workers), read_queues(tasks.view), tasks)
