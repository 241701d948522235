"""`dumpwalk pool`: the thread pool, its workers and what is queued."""

from __future__ import annotations

from dumpwalk.front.command import Options
from dumpwalk.front.reporting import Renderer, report_command


def _view(options: Options) -> Renderer:
    from dumpwalk.report import text

    return text.render_pool


COMMAND = report_command(
    "The thread pool: its limits, what each worker runs and blocks on, what is queued.",
    view=_view,
    examples=(("dumpwalk pool core.1234", "which worker waits for which queued work item"),),
    rank=35,
)
