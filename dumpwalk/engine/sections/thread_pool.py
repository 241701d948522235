"""The thread pool as the report has it."""

from __future__ import annotations

from collections import Counter
from typing import Optional

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.results import PoolLook
from dumpwalk.coreclr.threadpool.pool import Pool, Worker
from dumpwalk.coreclr.threadpool.release import Held
from dumpwalk.report.sections.thread_pool import model

ITEMS = 64
"""Queued work items that the report names from the head of the queues."""


def thread_pool(facts: Facts) -> Optional[model.ThreadPool]:
    look = facts.of(PoolLook)
    pool = look.pool
    if pool is None:
        return None
    held = {h.worker.thread.index: h for h in look.held}
    wanted = {h.item.address for h in look.held if h.item is not None}
    items = [i for n, i in enumerate(pool.queues.items) if n < ITEMS or i.address in wanted]
    counts = pool.counts
    return model.ThreadPool(
        address=f"0x{pool.address:x}",
        working=counts.working,
        existing=counts.existing,
        goal=counts.goal,
        minimum=counts.minimum,
        maximum=counts.maximum,
        queued=len(pool.queues.items),
        queues=tuple(model.PoolQueue(*row) for row in Counter(i.queue for i in pool.queues.items).items()),
        items=tuple(model.PoolItem(i.queue, i.position, f"0x{i.address:x}", pool.item_words(i)) for i in items),
        workers=tuple(_worker(pool, w, held.get(w.thread.index)) for w in pool.workers),
        starved=look.starved,
    )


def _worker(pool: Pool, worker: Worker, held: Optional[Held]) -> model.PoolWorker:
    waits = worker.waits
    task = held.task if held is not None else waits.tasks[0] if waits is not None else None
    item = held.item if held is not None else None
    lock = held.lock if held is not None else None
    return model.PoolWorker(
        thread=worker.thread.index,
        state="idle" if worker.idle else "waiting" if waits is not None or lock is not None else "working",
        runs=worker.running[0].task.what if worker.running else None,
        task=f"0x{task.address:x}" if task is not None else None,
        task_runs=task.what if task is not None else None,
        released_by=f"0x{item.address:x}" if item is not None else None,
        behind=held.behind.index if held is not None and held.behind is not None else None,
        timed=waits.timed if waits is not None else lock is not None and lock.timed,
        grade=waits.grade if waits is not None else lock.grade if lock is not None else None,
        lock=lock.label if lock is not None else None,
    )


MAKE = thread_pool
