"""`dumpwalk analyze`: the whole report."""

from __future__ import annotations

from dumpwalk.front.command import Option
from dumpwalk.front.reporting import report_command

COMMAND = report_command(
    """The whole report; the verdict line comes last.

    At a terminal the short report: the answer, who holds and who waits, and what to do next.

    CORE is an ELF or Mach-O core, plain or compressed (gz, bz2, xz, zip, zst). Several cores give a summary first.
    `dumpwalk CORE...` is the same.
    """,
    several=True,
    live=True,
    more=(
        Option(
            "--full", is_flag=True, help="The whole text report: what files and pipes get, and what -o writes, anyway."
        ),
        Option("--short", is_flag=True, help="The short text report: what a terminal gets unless --full is given."),
        Option(
            "--store",
            "store",
            lldb=None,
            metavar="FILE|URL",
            help="Add the report to this store of `dumpwalk triage`, and say since when and how often the hang is known.",
        ),
        Option(
            "--known-issue",
            is_flag=True,
            help="Print the Known Build Error JSON for this hang instead of the report (no JSON where there is no hang).",
        ),
    ),
    examples=(
        ("dumpwalk analyze core.1234", "a core of a program that is installed here"),
        ("dumpwalk analyze --pid 1234", "a process that hangs now; it goes on afterwards"),
        ("dumpwalk analyze --pid 1234 --again 10", "stuck or slow: two looks, ten seconds apart"),
        ("dumpwalk analyze core.1234 -m payload.zip", "with the program's own binaries, from elsewhere"),
        ("dumpwalk analyze core.1234 -o report.html -o report.json", "more formats of one analysis"),
        (
            "dumpwalk analyze core.1234 -o evidence.core.xz",
            "a core of some 500 KB that shows the same, to send to others",
        ),
        ("dumpwalk analyze *.dmp -f markdown --redact", "several cores, fit for a public comment"),
    ),
    rank=10,
)
