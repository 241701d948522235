"""The thread pool: its limits, its workers, what is queued, and which of that would let a blocked worker go on."""

from __future__ import annotations

from typing import Dict, Iterator

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import LockLook, ManagedSurroundings, PoolLook
from dumpwalk.analysis.step import Step
from dumpwalk.claims.model import Coverage
from dumpwalk.core.grade import Grade
from dumpwalk.core.names import plural
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.threadpool.pool import read_pool
from dumpwalk.coreclr.threadpool.release import LockWait, held_workers
from dumpwalk.coreclr.words import NotRead

_OLD = "the thread pool of versions before 6 is the runtime's own native one, which is not read"


def _look(known: Gathered) -> PoolLook:
    around, info = known.of(ManagedSurroundings).around, known.of(RuntimeView).info
    if around is None:
        return PoolLook(None, why="the runtime's threads are not known")
    if info is not None and info.major is not None and info.major < 6:
        return PoolLook(None, why=_OLD)
    try:
        pool = read_pool(around, Tasks(around.view), list(around.task_waits.values()))
    except NotRead as error:
        return PoolLook(None, why=error.why, absent=error.absent and bool(around.view.modules()))
    release = held_workers(pool, around.task_waits, _lock_waits(known))
    return PoolLook(pool, release.held, release.through, release.followed)


def _lock_waits(known: Gathered) -> Dict[int, LockWait]:
    """By a thread's index, the lock that it waits for, where one thread has that."""
    found: Dict[int, LockWait] = {}
    for lock in known.locks:
        owner = lock.owner
        grades = {holder.owner.grade for holder in lock.holders}
        for wait in lock.waiters if owner is not None and len(lock.holders) == 1 else ():
            if owner is not None and wait.thread.index != owner.index:
                grade: Grade = "proved" if grades | {wait.grade} == {"proved"} else "corroborated"
                found[wait.thread.index] = LockWait(lock.state.address, lock.label, owner, grade, wait.timed)
    return found


def _covers(known: Gathered) -> Iterator[Coverage]:
    if known.runtime is None:
        return
    look = known.of(PoolLook)
    pool = look.pool
    if pool is None:
        yield Coverage("thread-pool", "complete" if look.absent else "none", look.why)
        return
    lacks = list(dict.fromkeys(pool.queues.lacks))
    if not look.followed:
        lacks.append("not every queued work item was followed to the tasks that it would release")
    if len(pool.workers) != pool.counts.existing:
        lacks.append(f"{plural(len(pool.workers), 'worker')} found on stacks")
    counts = (
        f"{pool.counts.working} of {plural(pool.counts.existing, 'worker')} at work, at most {pool.counts.maximum:,}"
    )
    queued = f"{plural(len(pool.queues.items), 'work item')} queued"
    yield Coverage("thread-pool", "partial" if lacks else "complete", "; ".join([counts, queued, *lacks[:6]]))


STEP = Step(
    name="thread pool",
    rank=95,
    gives=PoolLook,
    needs=(RuntimeView, ManagedSurroundings, LockLook),
    look=_look,
    instead=lambda known: PoolLook(None, why="there was no time for it"),
    covers=_covers,
    areas=("thread-pool",),
    applies=lambda known: known.runtime is not None,
)
