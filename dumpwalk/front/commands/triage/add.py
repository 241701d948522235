"""`dumpwalk triage add`: reports into the store."""

from __future__ import annotations

import click

from dumpwalk.errors import DumpwalkError
from dumpwalk.front import triage
from dumpwalk.front.command import Argument, Command, Option, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.triage import store
    from dumpwalk.triage.record import read_reports, record_of, time_of

    given = triage.moment(options["time"], "--time") if options["time"] else None
    new = again = 0
    failed = False
    with store.opened(options["store"]) as opened:
        for path in options["reports"]:
            try:
                for report in read_reports(path):
                    record = record_of(report, given or time_of(report, path))
                    if opened.add(record, options["link"]):
                        new += 1
                    else:
                        again += 1
            except DumpwalkError as error:
                place.note(error.sentence())
                failed = True
    place.say(f"{new} added" + (f", {again} known already" if again else ""))
    return 1 if failed else 0


COMMAND = Command(
    """Add JSON reports to the store. A dump that is there already counts once.

    REPORT is what `dumpwalk analyze -f json` or `-o report.json` wrote. Exit code 1: some file is no report; the others
    are in.
    """,
    _run,
    parameters=(
        Argument("reports", lldb=None, nargs=-1, required=True, metavar="REPORT...", type=click.Path()),
        triage.store_option(),
        Option(
            "--time",
            "time",
            lldb=None,
            metavar="TIME",
            help="When the dumps were made. Default: the core's file time, else the report's.",
        ),
        Option("--link", "link", lldb=None, metavar="URL", help="Where the report or the run can be seen."),
    ),
    examples=(
        ("dumpwalk triage add report.json --link https://ci.example/run/17", "one report, with the run it came from"),
    ),
    rank=10,
)
