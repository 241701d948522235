"""Options in, exit code out; nothing else. What the commands are stands in dumpwalk/front/commands."""

from __future__ import annotations

import inspect
import io
import os
import sys
from typing import Any, Callable, List, Optional, Tuple, Union

import click
from click.shell_completion import CompletionItem

from dumpwalk import __version__
from dumpwalk.errors import DumpwalkError, Interrupted
from dumpwalk.front import commands, parameters, streams
from dumpwalk.front.command import Command, Group
from dumpwalk.front.command_line import CommandLine

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
DEFAULT = "analyze"
"""What `dumpwalk CORE` does."""

HELP = """Explain why a native or .NET process hangs, from its core dump.

\b
Exit codes of analyze, threads, locks, graph and cache:
  0   analysed, nothing stuck was found in what dumpwalk looks at
  10  hang explained, proved from memory
  11  suspicious: damage, not proved to be the hang
  12  inconclusive: what is needed is not in the dump
  1   dumpwalk could not do its work
  2   wrong usage
"""
FIRST_STEPS = (
    ("dumpwalk core.1234", "what hangs, and the proof: the same as `dumpwalk analyze core.1234`"),
    ("dumpwalk analyze core.1234 -m payload.zip", "with the program's own binaries, from elsewhere"),
    ("dumpwalk threads core.1234 --grep Socket", "stacks in full, of some threads"),
    ("dumpwalk doctor", "what is installed of lldb, and what is missing"),
)


class Program(click.Group):
    """The group of all commands: imports a command's file when it is asked for."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        return list(commands.table())

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        try:
            return _click_command(cmd_name, commands.find(cmd_name))
        except KeyError:
            return None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> List[CompletionItem]:
        """Commands, and where none begins so files: a core alone is analysed."""
        return super().shell_complete(ctx, incomplete) or [CompletionItem(incomplete, type="file")]

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """`dumpwalk -m bin core.1234` and `dumpwalk core.1234` mean `dumpwalk analyze ...`."""
        first = next((i for i, word in enumerate(args) if word not in ("-v", "--verbose")), None)
        if first is not None and self._begins_an_analysis(args[first]):
            args = [*args[:first], DEFAULT, *args[first:]]
        return super().parse_args(ctx, args)

    def _begins_an_analysis(self, word: str) -> bool:
        if word.startswith("-") and word != "-":
            return word not in ("-h", "--help", "--version")
        return word not in commands.names() and (os.path.lexists(word) or os.sep in word or "." in word)

    def resolve_command(self, ctx: click.Context, args: List[str]) -> Tuple[Optional[str], Any, List[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            near = difflib.get_close_matches(args[0], commands.names(), 1)
            hint = f"did you mean `dumpwalk {near[0]}`?" if near else "`dumpwalk --help` lists them."
            return ctx.fail(f"{args[0]} is no command of dumpwalk and no file that is there; {hint}")

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except KeyboardInterrupt:  # click would begin a line of its own for it
            raise Interrupted("interrupted.") from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted.") from None

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Our errors as one sentence on standard error, and the documented exit code."""
        kwargs["standalone_mode"] = False  # click's own words for Ctrl-C are "Aborted!"
        given = list(args[0] if args and args[0] is not None else kwargs.get("args") or sys.argv[1:])
        if "--redact" in given:
            from dumpwalk.report.redact import of_words

            streams.through(of_words(given))
        try:
            sys.exit(super().main(*args, **kwargs))
        except click.ClickException as error:
            told = io.StringIO()
            error.show(told)
            streams.tell(told.getvalue(), end="")
            sys.exit(error.exit_code)
        except DumpwalkError as error:
            streams.tell(f"dumpwalk: {error.sentence()}")
            sys.exit(error.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(1)
        except OSError as error:
            if error.errno not in streams.NOT_WRITTEN:
                raise
            streams.tell(f"dumpwalk: {streams.failure(error).sentence()}")  # a help text, printed by click
            sys.exit(1)
        except (KeyboardInterrupt, click.Abort):
            streams.tell("dumpwalk: interrupted.")
            sys.exit(1)


def examples_text(examples: Any) -> str:
    """As click's epilog, which keeps these lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}\n      {what}" for line, what in examples) if examples else ""


def _click_command(name: str, told: Union[Command, Group]) -> click.Command:
    if isinstance(told, Group):
        return click.Group(
            name,
            commands={n: _click_command(n, c) for n, c in told.commands.items()},
            help=inspect.cleandoc(told.help),
            epilog=examples_text(told.examples),
            short_help=told.summary(),
            context_settings=CONTEXT,
        )
    params = list(told.parameters)
    if not any("--verbose" in p.opts for p in params):
        params.append(parameters.verbose())
    return click.Command(
        name,
        params=params,
        callback=_callback(told),
        help=inspect.cleandoc(told.help),
        epilog=examples_text(told.examples),
        short_help=told.summary(),
        context_settings=CONTEXT,
    )


def _callback(told: Command) -> Callable[..., None]:
    @click.pass_context
    def run(context: click.Context, **options: Any) -> None:
        options["verbose"] = options["verbose"] or bool(context.find_root().params.get("verbose"))
        place = context.find_object(CommandLine) or CommandLine()
        place.display = options
        sys.exit(told.run(place, options))

    return run  # type: ignore[no-any-return]


@click.group(
    cls=Program,
    context_settings=CONTEXT,
    help=HELP,
    epilog=examples_text(FIRST_STEPS),
    options_metavar="[-v]",
    subcommand_metavar="COMMAND|CORE ...",
)
@click.version_option(__version__, prog_name="dumpwalk", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Tell each phase on standard error; may stand anywhere.")
@click.pass_context
def main(context: click.Context, verbose: bool) -> None:
    context.obj = CommandLine()


if __name__ == "__main__":
    main()
