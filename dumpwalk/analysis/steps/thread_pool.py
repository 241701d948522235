"""The thread pool: its limits, its workers, what is queued, and which of that would let a blocked worker go on."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import LockLook, ManagedSurroundings, PoolLook
from dumpwalk.analysis.step import Step
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.threadpool.pool import read_pool
from dumpwalk.coreclr.threadpool.release import held_workers
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
    held, complete = held_workers(pool)
    return PoolLook(pool, tuple(held), complete)


STEP = Step(
    name="thread pool",
    rank=95,
    gives=PoolLook,
    needs=(RuntimeView, ManagedSurroundings, LockLook),
    look=_look,
    instead=lambda known: PoolLook(None, why="there was no time for it"),
    areas=("thread-pool",),
    applies=lambda known: known.runtime is not None,
)
