"""Options in, exit code out; nothing else. Heavy imports wait until a command needs them."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, Callable, List, Optional, Sequence, Tuple

import click

from dumpwalk import __version__, limits
from dumpwalk.errors import DumpwalkError, Usage

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Group(click.Group):
    """Turns our errors into one sentence on standard error and the documented exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except DumpwalkError as error:
            click.echo(f"dumpwalk: {error.sentence()}", err=True)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("dumpwalk: interrupted.", err=True)
            sys.exit(1)


@click.group(cls=_Group, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="dumpwalk", message="%(prog)s %(version)s")
def main() -> None:
    """Explain why a .NET process hangs, from its core dump.

    \b
    Exit codes of analyze, threads, locks, graph and cache:
      0   analysed, nothing stuck was found in what dumpwalk looks at
      10  hang explained, proved from memory
      11  suspicious: damage, not proved to be the hang
      12  inconclusive: what is needed is not in the dump
      1   dumpwalk could not do its work
      2   wrong usage
    """


def _analysis_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option(
            "-m",
            "--modules",
            "modules",
            multiple=True,
            metavar="PATH",
            type=click.Path(),
            help="Folder (searched recursively), file or archive (zip, nupkg, tar.*) that holds the process's own "
            "binaries and debug files. Repeatable.",
        ),
        click.option(
            "-o",
            "--output",
            "output",
            multiple=True,
            metavar="FILE",
            help="Write the report there too; the extension picks the format: .json .md .html .txt .mmd .dot. Repeatable.",
        ),
        click.option(
            "-f",
            "--format",
            "kind",
            default="text",
            show_default=True,
            type=click.Choice(["text", "json", "markdown", "html", "mermaid", "dot"]),
            help="What standard output gets.",
        ),
        click.option(
            "--max-bytes",
            default=60000,
            show_default=True,
            type=click.IntRange(min=200),
            help="Budget of the Markdown report, in UTF-8 bytes.",
        ),
        click.option("--sha256", is_flag=True, help="Hash the dump too (dumps are big, so not by default)."),
        click.option(
            "--timeout",
            default=float(limits.DEFAULT_TIMEOUT_SECONDS),
            show_default=True,
            metavar="SECONDS",
            type=click.FloatRange(min=0, min_open=True),
            help="Time limit per core.",
        ),
        click.option("--redact", is_flag=True, help="Replace user names, home folders and host names, visibly."),
        click.option("--exit-zero", is_flag=True, help="Exit 0 whatever was found (1 and 2 stay)."),
        click.option("-v", "--verbose", is_flag=True, help="Tell each phase on standard error."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.argument("cores", nargs=-1, required=True, metavar="CORE...", type=click.Path())
@_analysis_options
@click.option(
    "--known-issue",
    is_flag=True,
    help="Print the Known Build Error JSON for this hang instead of the report (no JSON where there is no hang).",
)
def analyze(cores: Tuple[str, ...], known_issue: bool, **options: Any) -> None:
    """The whole report; the verdict line comes last.

    CORE is an ELF or Mach-O core, plain or compressed (gz, bz2, xz, zip, zst). Several cores give a summary first.
    """
    outcomes, targets = _outcomes(cores, options)
    if known_issue:
        _print_known_issue(outcomes, targets, options)
    else:
        _deliver(outcomes, targets, options)
    sys.exit(_exit_code(outcomes, options))


def _outcomes(cores: Sequence[str], options: Any) -> Tuple[List[Any], List[Tuple[str, str]]]:
    from dumpwalk.engine.run import Options
    from dumpwalk.front import output
    from dumpwalk.jobs import isolation

    targets = output.check_targets(options["output"])
    for path in options["modules"]:
        if not os.path.exists(path):
            raise Usage(f"--modules {path}: there is no such file or folder.")
    progress = _Progress(options["verbose"], len(cores))
    engine_options = Options(modules=tuple(options["modules"]), sha256=options["sha256"])
    try:
        outcomes: List[Any] = isolation.analyze_all(
            cores, engine_options, options["timeout"], progress, lambda: output.prepare(options["kind"])
        )
    finally:
        progress.done()
    if options["redact"]:
        from dumpwalk.report.redact import redact

        outcomes = [redact(o) for o in outcomes]
    for failure in isolation.split(outcomes)[1]:
        click.echo(f"dumpwalk: {failure.error}", err=True)
    return outcomes, targets


class _Progress:
    """One line on standard error, only on a terminal and only for what takes over a second; every phase with --verbose."""

    def __init__(self, verbose: bool, cores: int) -> None:
        import time

        self._clock = time.monotonic
        self._start = self._clock()
        self._verbose = verbose
        self._many = cores > 1
        self._shown = False
        self._terminal = sys.stderr.isatty()

    def __call__(self, path: str, phase: str) -> None:
        name = f"{os.path.basename(path)}: " if self._many else ""
        if self._verbose:
            click.echo(f"dumpwalk: {name}{phase}", err=True)
        elif self._terminal and self._clock() - self._start > 1:
            width = shutil.get_terminal_size().columns
            click.echo("\r\x1b[K" + f"dumpwalk: {name}{phase} ..."[: width - 1], err=True, nl=False)
            self._shown = True

    def done(self) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _deliver(
    outcomes: Sequence[Any], targets: Sequence[Tuple[str, str]], options: Any, view: Optional[Callable[..., str]] = None
) -> None:
    from dumpwalk.front import output
    from dumpwalk.report.model import Report

    for file, kind in targets:
        output.write(file, output.render(outcomes, kind, output.FILE_WIDTH, False, options["max_bytes"]))
    width, color = _terminal()
    if not any(isinstance(o, Report) for o in outcomes) and options["kind"] != "json":
        return
    if view is not None and options["kind"] == "text":
        parts = [view(o, width, color) for o in outcomes if isinstance(o, Report)]
        content = "\n".join(parts)
    else:
        content = output.render(outcomes, options["kind"], width, color, options["max_bytes"])
    _print(content)


def _print(content: str) -> None:
    data = content if content.endswith("\n") else content + "\n"
    sys.stdout.buffer.write(data.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()


def _terminal() -> Tuple[int, bool]:
    """(columns, colour) for standard output. NO_COLOR and a pipe mean no colour."""
    from dumpwalk.front.output import FILE_WIDTH

    if not sys.stdout.isatty():
        return FILE_WIDTH, False
    return max(60, min(shutil.get_terminal_size().columns, 200)), not os.environ.get("NO_COLOR")


def _print_known_issue(outcomes: Sequence[Any], targets: Sequence[Tuple[str, str]], options: Any) -> None:
    from dumpwalk.front import output
    from dumpwalk.report import known_issue
    from dumpwalk.report.model import Report

    reports = [o for o in outcomes if isinstance(o, Report)]
    chosen = next((r for r in reports if known_issue.render_json(r) is not None), None)
    if chosen is None:
        for report in reports[:1]:
            click.echo(f"dumpwalk: {known_issue.no_hang_sentence(report)}", err=True)
        return
    for file, kind in targets:
        text = known_issue.render_markdown(chosen) if kind == "markdown" else known_issue.render_json(chosen)
        output.write(file, (text or "") if (text or "").endswith("\n") else f"{text}\n")
    text = known_issue.render_markdown(chosen) if options["kind"] == "markdown" else known_issue.render_json(chosen)
    _print(text or "")


def _exit_code(outcomes: Sequence[Any], options: Any) -> int:
    from dumpwalk.report.model import FailedCore
    from dumpwalk.report.summary import exit_code

    if all(isinstance(o, FailedCore) for o in outcomes):
        return int(outcomes[0].exit_code) if len(outcomes) == 1 else 1
    return 0 if options["exit_zero"] else int(exit_code(list(outcomes)))


@main.command()
@click.argument("core", type=click.Path())
@click.option("--grep", metavar="REGEX", help="Only threads with a frame, name or role that matches.")
@click.option("--waiting-on", metavar="LOCK", help="Only threads that wait for this lock: its name or address.")
@_analysis_options
def threads(core: str, grep: Optional[str], waiting_on: Optional[str], **options: Any) -> None:
    """Every thread's stack in full, with trust of each frame and the runtime's own record of the thread."""
    import re

    if grep is not None:
        try:
            re.compile(grep)
        except re.error as error:
            raise Usage(f"--grep {grep}: not a regular expression ({error}).") from error
    from dumpwalk.report import text

    def view(report: Any, width: int, color: bool) -> str:
        try:
            return text.render_threads(report, grep=grep, waiting_on=waiting_on, width=width, color=color)
        except LookupError as error:
            raise Usage(f"--waiting-on {waiting_on}: {error.args[0] if error.args else 'no such lock'}") from error

    _part(core, options, view)


@main.command()
@click.argument("core", type=click.Path())
@_analysis_options
def locks(core: str, **options: Any) -> None:
    """Every lock in use or waited for: its words, its owner and the owner's stack, its waiters."""
    from dumpwalk.report import text

    _part(core, options, lambda report, width, color: text.render_locks(report, width, color))


@main.command()
@click.argument("core", type=click.Path())
@_analysis_options
def graph(core: str, **options: Any) -> None:
    """The wait-for graph as a tree; -f mermaid and -f dot draw it."""
    from dumpwalk.report import text

    _part(core, options, lambda report, width, color: text.render_graph_text(report, width, color))


@main.command()
@click.argument("core", type=click.Path())
@_analysis_options
def cache(core: str, **options: Any) -> None:
    """The interface-dispatch cache: where it is, every cycle with its nodes, every violation."""
    from dumpwalk.report import text

    _part(core, options, lambda report, width, color: text.render_cache(report, width, color))


def _part(core: str, options: Any, view: Callable[..., str]) -> None:
    outcomes, targets = _outcomes([core], options)
    _deliver(outcomes, targets, options, view)
    sys.exit(_exit_code(outcomes, options))


@main.command()
@click.argument("core", type=click.Path())
@click.argument("address")
@click.option(
    "--next",
    "next_offset",
    default="0x18",
    show_default=True,
    metavar="OFFSET",
    help="Where a node's next pointer is, in bytes.",
)
@click.option(
    "--end", "end", metavar="ADDRESS", help="A sentinel: the walk ends well when it gets there (and at NULL)."
)
@click.option("--words", default=4, show_default=True, type=click.IntRange(1, 64), help="Words of each node to show.")
@click.option(
    "--limit",
    default=limits.WALK_NODES,
    show_default=True,
    type=click.IntRange(1, limits.WALK_NODES),
    help="Nodes at most.",
)
@click.option(
    "-f",
    "--format",
    "kind",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json"]),
    help="What standard output gets.",
)
def walk(core: str, address: str, next_offset: str, end: Optional[str], words: int, limit: int, kind: str) -> None:
    """Walk any singly linked list from ADDRESS, and say how it ends.

    Exit code 0 when it ends at NULL or the sentinel, 11 when it is cyclic or leads to a bad pointer, 12 when it leads out of
    the dump or the limit was hit.
    """
    from dumpwalk import list_walk

    start, offset, sentinel = (
        _number(address, "ADDRESS"),
        _number(next_offset, "--next"),
        _number(end, "--end") if end else None,
    )
    result = list_walk.walk_core(core, start, offset, sentinel, words, limit)
    _print(list_walk.render(result, kind))
    sys.exit(result.exit_code)


def _number(text: str, what: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        raise Usage(f"{what} {text}: not a number; write it as 0x1234 or 4660.") from None
    if not 0 <= value < 1 << 64:
        raise Usage(f"{what} {text}: not a 64-bit address or offset.")
    return value


@main.command()
@click.option("-v", "--verbose", is_flag=True, help="Also what was passed over.")
def doctor(verbose: bool) -> None:
    """What was found of lldb, its Python and its version, and what to do if something lacks."""
    from dumpwalk.front import doctor as examination

    text, code = examination.run(verbose)
    _print(text)
    sys.exit(code)


@main.command()
@click.argument("kind", required=False)
def explain(kind: Optional[str]) -> None:
    """What a finding of this KIND means, what it does not prove, what to do next. Without KIND: the list."""
    from dumpwalk import explanations

    _print(explanations.text(kind) if kind else explanations.listing())


@main.command()
def schema() -> None:
    """The JSON Schema of the report."""
    from dumpwalk.report import schema as report_schema

    _print(report_schema.text())


@main.command("lldb-init")
def lldb_init() -> None:
    """The line to paste into ~/.lldbinit, so that every lldb session has the dumpwalk command.

    How to start lldb is said on standard error where typing `lldb` is not enough.
    """
    from dumpwalk.front import lldb_init as initialisation

    _print(initialisation.init_line())
    for sentence in initialisation.how_to_start(os.environ):
        click.echo(sentence, err=True)


if __name__ == "__main__":
    main()
