"""The thread pool as text: counts, who blocks on which task, what is queued."""

from __future__ import annotations

from collections import Counter

from dumpwalk.report.model import Report
from dumpwalk.report.names import plural, ranges
from dumpwalk.report.sections.thread_pool.model import PoolWorker, ThreadPool
from dumpwalk.report.text_page import INDENT, Page


def in_full(page: Page, report: Report) -> None:
    pool = report.of(ThreadPool)
    if pool is None:
        cover = next((c for c in report.coverage if c.area == "thread-pool"), None)
        why = f": {cover.why}" if cover is not None else ": the process has no .NET runtime"
        page.say(f"No thread pool was read{why}.", "")
        return
    page.raw(page.style(f"Thread pool at {pool.address}", bold=True))
    page.say(counts_sentence(pool))
    _workers(page, report, pool)
    _queues(page, pool)


def counts_sentence(pool: ThreadPool) -> str:
    return (
        f"{pool.working} of {plural(pool.existing, 'worker')} at work. The pool aims at {pool.goal}; it adds workers "
        f"without delay up to {pool.minimum:,}, and has {pool.maximum:,} at most."
    )


def _workers(page: Page, report: Report, pool: ThreadPool) -> None:
    page.heading("Workers")
    tids = {t.index: t.tid for t in report.threads}
    idle = [w.thread for w in pool.workers if w.state == "idle"]
    for worker in pool.workers:
        if worker.state != "idle":
            tid = tids.get(worker.thread)
            head = f"thread {worker.thread}" + (f" (tid {tid})" if tid is not None else "")
            page.say(
                page.name(
                    f"{head} {worker_words(pool, worker)}"
                    + (f" [{worker.grade}]" if worker.grade and (worker.task or worker.lock) else "")
                ),
                INDENT,
                INDENT * 2,
            )
    if idle:
        page.say(f"{plural(len(idle), 'worker')} idle: {ranges(idle)}")
    if not pool.workers:
        page.say("none")


def worker_words(pool: ThreadPool, worker: PoolWorker) -> str:
    """What a worker runs and blocks on, and what would release it."""
    runs = f"runs {worker.runs}" if worker.runs else ""
    if worker.lock is not None:
        return (f"{runs} and waits" if runs else "waits") + f" for {worker.lock}, which thread {worker.behind} holds"
    if worker.task is None:
        return runs or "works"
    text = f"{runs} and waits" if runs else "waits"
    text += f" for the task {worker.task_runs} at {worker.task}"
    if worker.released_by is not None:
        item = next((i for i in pool.items if i.address == worker.released_by), None)
        place = f"number {item.position + 1} of the {item.queue} queue" if item is not None else "queued"
        needs = (
            "" if worker.released_by == worker.task else f", which needs {item.runs if item else worker.released_by}"
        )
        text += f"{needs}: {place}"
    elif worker.behind is not None:
        text += f", which thread {worker.behind} runs"
    if worker.timed:
        text += "; the wait gives up by itself"
    return text


def _queues(page: Page, pool: ThreadPool) -> None:
    page.heading("Queued")
    if not pool.queued:
        page.say("nothing")
        return
    for queue in pool.queues:
        page.say(f"{queue.name} queue: {plural(queue.items, 'work item')}")
        for runs, count in Counter(item.runs for item in pool.items if item.queue == queue.name).most_common():
            page.say(page.name(runs), f"{INDENT * 2}{count:>6,}  ", INDENT * 6)
    if pool.queued > len(pool.items):
        page.say(f"{pool.queued - len(pool.items):,} more are not listed")


IN_FULL = in_full
