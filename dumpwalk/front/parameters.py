"""Parameters that several commands share. Each function gives new ones: click keeps parameters with their command."""

from __future__ import annotations

from typing import Sequence, Tuple

import click

from dumpwalk import limits
from dumpwalk.front import fetching
from dumpwalk.front.command import Argument, Option

_PATH = click.Path(readable=False)  # what cannot be read is told by whoever reads it, as one sentence
FORMATS = ("text", "json", "markdown", "html", "mermaid", "dot")


def core() -> Argument:
    return Argument("core", lldb=None, type=_PATH)


def cores(required: bool = True) -> Argument:
    return Argument("cores", lldb=None, nargs=-1, required=required, metavar="CORE...", type=_PATH)


def live() -> Tuple[Option, ...]:
    """A live process instead of a core."""
    return (
        Option(
            "--pid",
            lldb=None,
            metavar="PID",
            type=click.IntRange(min=1),
            help="Look at this live process instead of a core (Linux): it is stopped as briefly as can be, and goes on.",
        ),
        Option(
            "--again",
            lldb=None,
            metavar="SECONDS",
            type=click.FloatRange(min=0, min_open=True, max=86400),
            help="With --pid: look a second time after so many seconds, and compare both looks (as `dumpwalk compare` does).",
        ),
    )


def modules() -> Option:
    return Option(
        "-m",
        "--modules",
        "modules",
        lldb="eArgTypeFilename",
        multiple=True,
        metavar="PATH",
        type=_PATH,
        help="Folder (searched recursively), file or archive (zip, nupkg, tar.*) that holds the process's own "
        "binaries and debug files. Repeatable.",
    )


def format_of(kinds: Sequence[str]) -> Option:
    return Option(
        "-f",
        "--format",
        "kind",
        lldb="eArgTypeFormat",
        default="text",
        show_default=True,
        type=click.Choice(list(kinds)),
        help="What standard output gets.",
    )


def timeout() -> Option:
    return Option(
        "--timeout",
        lldb=None,
        default=float(limits.DEFAULT_TIMEOUT_SECONDS),
        show_default=True,
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True),
        help="Time limit per core.",
    )


def verbose(help_text: str = "Tell each phase on standard error.") -> Option:
    return Option("-v", "--verbose", lldb=None, is_flag=True, help=help_text)


def display() -> Tuple[Option, ...]:
    """What the page of standard output is."""
    return (
        Option(
            "--color",
            lldb=None,
            default="auto",
            show_default=True,
            type=click.Choice(["auto", "always", "never"]),
            help="Colour on standard output. auto: at a terminal, and not where NO_COLOR is set.",
        ),
        Option(
            "--width",
            lldb=None,
            metavar="COLUMNS",
            type=click.IntRange(40, 1000),
            help="Columns of standard output. Without it: the terminal's, COLUMNS where it is none, else 120.",
        ),
        Option("--no-pager", lldb=None, is_flag=True, help="Never show it with PAGER (less where that is not set)."),
    )


def reporting() -> Tuple[Option, ...]:
    """What every command takes that shows a report or a part of one."""
    return (
        modules(),
        fetching.fetch_option(),
        fetching.server_option(),
        Option(
            "-o",
            "--output",
            "output",
            lldb="eArgTypeFilename",
            multiple=True,
            metavar="FILE",
            help="Write the report there too; the extension picks the format: .json .md .html .txt .xml (JUnit) .mmd .dot. "
            ".core and .core.xz get the evidence core: a small core that holds what the analysis read. Repeatable.",
        ),
        format_of(FORMATS),
        Option(
            "--max-bytes",
            lldb="eArgTypeByteSize",
            default=60000,
            show_default=True,
            type=click.IntRange(min=200),
            help="Budget of the Markdown report, in UTF-8 bytes.",
        ),
        Option(
            "--debug-files",
            "debug_files",
            lldb=None,
            is_flag=True,
            help="Use all debug files of this machine for file and line, the C library's too, which take a third of the time.",
        ),
        Option("--sha256", lldb=None, is_flag=True, help="Hash the dump too (dumps are big, so not by default)."),
        timeout(),
        Option("--redact", is_flag=True, help="Replace user names, home folders and host names, visibly."),
        Option("--exit-zero", lldb=None, is_flag=True, help="Exit 0 whatever was found (1 and 2 stay)."),
        *display(),
        verbose(),
    )
