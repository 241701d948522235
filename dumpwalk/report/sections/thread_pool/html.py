"""The thread pool on the page: its counts, its workers, what is queued."""

from __future__ import annotations

from collections import Counter
from typing import Any, List, Optional, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.names import plural
from dumpwalk.report.section import HtmlPart
from dumpwalk.report.sections.thread_pool.model import PoolWorker, ThreadPool
from dumpwalk.report.sections.thread_pool.text import counts_sentence, worker_words

SHOWN = 200
"""Workers that the page lists; the JSON has all."""


@dataclass(frozen=True)
class View:
    counts: str
    workers: List[Tuple[PoolWorker, str]]
    """Those that work or wait, and in words what they do."""
    left: int
    idle: List[int]
    queued: List[Tuple[str, str, int]]
    """(queue, method, how many)."""
    not_listed: int


def _view(core: Any) -> Optional[View]:
    pool = core.report.of(ThreadPool)
    if pool is None:
        return None
    busy = [w for w in pool.workers if w.state != "idle"]
    queued = Counter((i.queue, i.runs) for i in pool.items).most_common()
    return View(
        counts_sentence(pool),
        [(w, worker_words(pool, w)) for w in busy[:SHOWN]],
        max(0, len(busy) - SHOWN),
        [w.thread for w in pool.workers if w.state == "idle"],
        [(queue, runs, count) for (queue, runs), count in queued],
        pool.queued - len(pool.items),
    )


def _title(view: View) -> str:
    return f"Thread pool, {plural(len(view.workers) + view.left, 'worker')} busy"


HTML = (HtmlPart(rank=47, id="pool", template="thread_pool/page.html.j2", view=_view, title=_title),)
