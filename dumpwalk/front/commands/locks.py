"""`dumpwalk locks`: locks and who waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dumpwalk.errors import Usage
from dumpwalk.front.command import Option, Options
from dumpwalk.front.reporting import Renderer, report_command

if TYPE_CHECKING:
    from dumpwalk.report.model import Report


def _view(options: Options) -> Renderer:
    from dumpwalk.report import text
    from dumpwalk.report.sections.locks.phrases import threads_named

    asked = options["held_by"]
    for word in asked:
        if word != "all" and not word.isdigit():
            raise Usage(f"--held-by {word}: a thread's number in the report, its tid, or all.")

    def view(report: Report, width: int, color: bool) -> str:
        threads = threads_named(report, asked)
        if asked and not threads:
            raise Usage(f"--held-by {' '.join(asked)}: the dump has no such thread; it has 1 to {len(report.threads)}.")
        return text.render_section("locks", report, width, color, held_by=threads)

    return view


COMMAND = report_command(
    "Every lock in use or waited for: its words, its owner and the owner's stack, its waiters.",
    view=_view,
    more=(
        Option(
            "--held-by",
            "held_by",
            multiple=True,
            metavar="THREAD",
            help="Only what this thread holds, also where nobody waits: its number, its tid, or all. Searches the dump's "
            "memory. Repeatable.",
        ),
    ),
    examples=(
        ("dumpwalk locks core.1234", "locks, their owners and waiters"),
        ("dumpwalk locks core.1234 --held-by 20", "all that one thread holds, whoever waits"),
    ),
    rank=30,
)
