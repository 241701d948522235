"""`dumpwalk compare`: stuck or slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, List

import click

from dumpwalk.errors import Usage
from dumpwalk.front import parameters
from dumpwalk.front.command import Argument, Command, Option, Options, Place

if TYPE_CHECKING:
    from dumpwalk.report.model import Report

_KINDS = ("text", "json", "markdown", "html")


def _run(place: Place, options: Options) -> int:
    from dumpwalk.front import comparing

    looks = [options["first"], options["second"]]
    if looks[0] == looks[1]:
        raise Usage("Both looks are the same file: give an earlier and a later one.")
    targets = comparing.check_targets(options["output"], [*looks, *options["modules"]])
    first, second = _reports(place, looks, options)
    return comparing.show(place, first, second, options, targets)


def _reports(place: Place, looks: List[str], options: Options) -> List[Report]:
    """Each look's report: read where it is one, else made of the core. Raises NotALook where there is neither."""
    from dumpwalk.front import comparing
    from dumpwalk.report.model import Report

    read = {path: comparing.saved_report(path) for path in looks}
    cores = [path for path in looks if read[path] is None]
    for path, outcome in zip(cores, place.outcomes({**options, "cores": cores}) if cores else ()):
        if not isinstance(outcome, Report):
            raise comparing.NotALook(f"{path} could not be analysed, so there is nothing to compare.")
        read[path] = outcome
    return [report for report in (read[path] for path in looks) if report is not None]


COMMAND = Command(
    """Stuck or slow: two looks at one process, the earlier one first.

    A look is a core, an evidence core, or a report that `dumpwalk analyze -f json` wrote. Stuck (exit code 10): the same
    threads wait for the same owners, and nobody that they depend on moved. Moving (0): locks change hands, threads move or
    counters run on. Cannot be told: 12.
    """,
    _run,
    parameters=(
        Argument("first", lldb=None, metavar="FIRST", type=click.Path(readable=False)),
        Argument("second", lldb=None, metavar="SECOND", type=click.Path(readable=False)),
        parameters.modules(),
        parameters.format_of(_KINDS),
        Option(
            "-o",
            "--output",
            "output",
            lldb=None,
            multiple=True,
            metavar="FILE",
            help="Write the comparison there too; the extension picks the format: .json .md .html .txt. Repeatable.",
        ),
        parameters.timeout(),
        Option("--redact", is_flag=True, lldb=None, help="Replace user names, home folders and host names, visibly."),
        Option("--exit-zero", lldb=None, is_flag=True, help="Exit 0 whatever was found (1 and 2 stay)."),
        *parameters.display(),
        parameters.verbose(),
    ),
    examples=(
        ("dumpwalk compare core.1 core.2", "two dumps of one process"),
        ("dumpwalk compare early.json late.json -f markdown", "two reports; the dumps are gone"),
    ),
    rank=35,
)
