"""`dumpwalk locks`: locks and who waits for them."""

from __future__ import annotations

from dumpwalk.front.command import Options
from dumpwalk.front.reporting import Renderer, report_command


def _view(options: Options) -> Renderer:
    from dumpwalk.report import text

    return text.render_locks


COMMAND = report_command(
    "Every lock in use or waited for: its words, its owner and the owner's stack, its waiters.",
    view=_view,
    examples=(("dumpwalk locks core.1234", "locks, their owners and waiters"),),
    rank=30,
)
