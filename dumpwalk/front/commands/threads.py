"""`dumpwalk threads`: every stack in full."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dumpwalk.errors import Usage
from dumpwalk.front.command import Option, Options
from dumpwalk.front.reporting import Renderer, report_command

if TYPE_CHECKING:
    from dumpwalk.report.model import Report


def _view(options: Options) -> Renderer:
    from dumpwalk.report import text
    from dumpwalk.report.sections.threads.phrases import find_locks, waiting_at

    grep, waiting_on = options["grep"], options["waiting_on"]
    try:
        re.compile(grep or "")
    except re.error as error:
        raise Usage(f"--grep {grep}: not a regular expression ({error}).") from error

    def view(report: Report, width: int, color: bool) -> str:
        if waiting_on and not (find_locks(report, waiting_on) or waiting_at(report, waiting_on)):
            known = "; ".join(f"{lock.address} {lock.name or ''}".strip() for lock in report.locks[:20])
            raise Usage(
                f"--waiting-on {waiting_on}: no lock of this dump is called so, and no thread waits there. "
                f"Known: {known or 'none'}."
            )
        return text.render_threads(report, width, color, grep=grep, waiting_on=waiting_on, managed=options["managed"])

    return view


COMMAND = report_command(
    "Every thread's stack in full, with trust of each frame and the runtime's own record of the thread.",
    view=_view,
    more=(
        Option(
            "--grep",
            lldb="eArgTypeRegularExpression",
            metavar="REGEX",
            help="Only threads with a frame, name or role that matches.",
        ),
        Option("--managed", is_flag=True, help="The managed frames alone, and no thread that has none."),
        Option(
            "--waiting-on",
            metavar="LOCK",
            help="Only threads that wait for this lock: its name or address, or that of any word they wait on.",
        ),
    ),
    examples=(
        ("dumpwalk threads core.1234 --grep 'Socket|Poll'", "threads with such a frame, name or role"),
        ("dumpwalk threads core.1234 --managed", "the methods that threads are in"),
        ("dumpwalk threads core.1234 --waiting-on 0x7f4f529201a0", "threads that wait for one lock"),
    ),
    rank=20,
)
