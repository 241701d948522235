"""`dumpwalk pool`: the thread pool, its workers and what is queued."""

from __future__ import annotations

from dumpwalk.front.reporting import report_command, section_view

COMMAND = report_command(
    "The thread pool: its limits, what each worker runs and blocks on, what is queued.",
    view=section_view("thread_pool"),
    examples=(("dumpwalk pool core.1234", "which worker waits for which queued work item"),),
    rank=35,
)
