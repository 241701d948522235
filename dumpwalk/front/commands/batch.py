"""`dumpwalk batch`: every core below some folders, into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, List

import click

from dumpwalk.errors import Usage
from dumpwalk.front import parameters, triage
from dumpwalk.front.command import Argument, Command, Option, Options, Place, note_missing

if TYPE_CHECKING:
    from dumpwalk.report.model import Entry


def _run(place: Place, options: Options) -> int:
    from dumpwalk.front import batch, batch_summary, output
    from dumpwalk.triage import store

    if options["dask"] and options["jobs"]:
        raise Usage("--jobs is for this machine; a cluster's workers are started with --nthreads.")
    note_missing(place, options)
    targets = output.check_targets(options["output"], [*options["paths"], *options["modules"]])
    for _, kind in targets:
        if kind in ("mermaid", "dot"):
            raise Usage(f"The {kind} format draws the graph of one core.")
    with store.opened(options["store"]) as opened:
        done = batch.run(options, opened)
        rows = batch_summary.counted(list(done.values()))
        for file, kind in targets:
            told: List[Entry] = [*batch_summary.reports(opened, rows).values(), *batch_summary.failures(done)]
            output.write(file, output.render(told, kind, output.FILE_WIDTH, False, 60_000))
        place.say(batch_summary.render(opened, done, *place.page()))
    code = batch_summary.exit_code(list(done.values()))
    return 0 if options["exit_zero"] and code != 1 else code


COMMAND = Command(
    """Every core below some folders, into the store.

    PATH is a core, or a folder that is searched for files that are cores, are compressed, or are called as dumps are. Each core
    is analysed in a child process of its own, and its report is in the store as soon as it is done: a batch that was
    stopped or killed goes on where it was when it is started again. A core that cannot be analysed is told at the end
    and stops nothing. The summary tells signatures by severity, then by count, and one full report of each.
    """,
    _run,
    parameters=(
        Argument("paths", lldb=None, nargs=-1, required=True, metavar="PATH...", type=click.Path(readable=False)),
        Option(
            "--jobs",
            "jobs",
            lldb=None,
            metavar="N",
            type=click.IntRange(min=1),
            help="Cores side by side. Default: one for each processor.",
        ),
        Option(
            "--dask",
            "dask",
            lldb=None,
            metavar="ADDRESS",
            help="On the workers of the Dask cluster whose scheduler is there (tcp://HOST:8786, or its scheduler file).",
        ),
        triage.store_option(),
        Option("--again", "again", lldb=None, is_flag=True, help="Analyse also what is done, or failed, already."),
        parameters.modules(),
        Option(
            "-o",
            "--output",
            "output",
            lldb=None,
            multiple=True,
            metavar="FILE",
            help="Write one report for each signature there, and what could not be analysed; the extension picks the format: "
            ".json .md .html .txt .xml. Repeatable.",
        ),
        Option("--sha256", lldb=None, is_flag=True, help="Hash the dumps too: a copy of one counts once for sure."),
        parameters.timeout(),
        Option("--redact", lldb=None, is_flag=True, help="Replace user names, home folders and host names, visibly."),
        Option("--exit-zero", lldb=None, is_flag=True, help="Exit 0 whatever was found (1 and 2 stay)."),
        *parameters.display(),
        parameters.verbose("A line for each core on standard error."),
    ),
    examples=(
        ("dumpwalk batch dumps", "all cores below a folder"),
        ("dumpwalk batch dumps --jobs 8 -m payload --store postgresql://triage@db.example/triage", "a team's store"),
        ("dumpwalk batch /share/dumps --dask tcp://scheduler.example:8786", "on a cluster"),
    ),
    rank=390,
)
