"""What a command is: its words, its parameters, and what it does in a place (a command line or an lldb session).

A command is one file of dumpwalk/front/commands that sets COMMAND. The file's name is the command's (`lldb_init.py` is
`lldb-init`); nothing else needs to know of it. The command line, lldb, their help and completion and docs/cli.md are made
from the same description.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Dict, List, Optional, Protocol, Sequence, Tuple

import click

from dumpwalk.dataclass import dataclass
from dumpwalk.errors import Usage

if TYPE_CHECKING:
    from dumpwalk.core.process import Process
    from dumpwalk.report.model import Entry

Options = Dict[str, Any]
"""Values by parameter name."""


class Place(Protocol):
    """Where a command runs, and where its words go."""

    in_lldb: bool

    def outcomes(self, options: Options, prepare: Callable[[], None] = ...) -> List[Entry]:
        """A report for each core that the options name, or for the session's target. Raises DumpwalkError."""

    def look(self, command: Command, options: Options) -> Answer:
        """The command's `look` on the process of the core that the options name, or of the target. Raises DumpwalkError."""

    def number(self, text: str, what: str) -> int:
        """A number, and in a session also a register of the selected frame (`$rbx`). Raises Usage."""

    def in_time(self, options: Options, cores: int) -> ContextManager[None]:
        """For drawing the reports of so many cores: raises TimedOut where the command's time is over."""

    def say(self, text: str) -> None:
        """Onto standard output."""

    def note(self, sentence: str) -> None:
        """One line beside the report: onto standard error."""

    def page(self) -> Tuple[int, bool]:
        """(columns, colour) of where `say` goes."""

    def brief(self) -> bool:
        """Whether the short report is what is shown there unless the whole one is asked for."""


def note_missing(place: Place, options: Options) -> None:
    """Say which module paths are not there. What was asked for is the core, so the work goes on without them."""
    for path in options["modules"]:
        if not os.path.exists(path):
            place.note(f"--modules {path}: there is no such file or folder; going on without it.")


def held_by(options: Options) -> Tuple[str, ...]:
    """The threads whose held locks a command asks for."""
    return tuple(options.get("held_by") or ())


def wants(options: Options) -> Tuple[str, ...]:
    """What a command has looked for although nothing in the process asks for it."""
    return tuple(options.get("wants") or ())


@dataclass(frozen=True)
class Answer:
    """What a look at a process gives: the words for standard output, and the exit code."""

    text: str
    exit_code: int = 0


@dataclass(frozen=True)
class View:
    """How a look shows itself. JSON knows neither."""

    width: int
    color: bool


@dataclass(frozen=True)
class Command:
    """One command. `run` gives the exit code; it prints through the place alone."""

    help: str
    """Paragraphs, the first of them one line: the summary in lists."""
    run: Callable[[Place, Options], int]
    parameters: Tuple[click.Parameter, ...] = ()
    examples: Tuple[Tuple[str, str], ...] = ()
    """(line as typed on a command line, what it is good for)"""
    rank: int = 500
    """Place in lists; commands of one rank by name."""
    in_lldb: bool = False
    """Also a subcommand of `dumpwalk` in an lldb session."""
    look: Optional[Callable[[Process, Options, View], Answer]] = None
    """For commands that look at a process: called in the child process that opened it, or in the session."""
    stacks: bool = False
    """`look` asks for frames or symbols, so lldb opens the core; else memory and registers are enough."""

    def summary(self) -> str:
        return self.help.strip().split("\n\n")[0]


@dataclass(frozen=True)
class Group:
    """Commands of one word, a folder of commands: `dumpwalk triage list`. Never in lldb."""

    help: str
    commands: Dict[str, Command]
    """By name, in the order of lists."""
    examples: Tuple[Tuple[str, str], ...] = ()
    rank: int = 500
    in_lldb: bool = False

    def summary(self) -> str:
        return self.help.strip().split("\n\n")[0]


class Option(click.Option):
    """An option. `lldb` is lldb's name for its kind of value (for help and completion there); None keeps it out of
    sessions: options about files, child processes and exit codes."""

    def __init__(self, *declarations: str, lldb: Optional[str] = "eArgTypeName", **attributes: Any) -> None:
        super().__init__(list(declarations), **attributes)
        self.lldb = lldb


class Argument(click.Argument):
    """A positional parameter; `lldb` as with Option. `complete` lists the values that begin like a word."""

    def __init__(
        self,
        name: str,
        lldb: Optional[str] = "eArgTypeName",
        complete: Optional[Callable[[str], Sequence[str]]] = None,
        **attributes: Any,
    ) -> None:
        if complete is not None:
            attributes["shell_complete"] = lambda ctx, param, word: list(complete(word))
        super().__init__([name], **attributes)
        self.lldb = lldb
        self.complete = complete


class Number(click.ParamType):
    """An address, offset or other 64-bit number as the place reads it."""

    name = "number"

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> int:
        if isinstance(value, int):
            return value
        what = "" if param is None else next((o for o in param.opts if o.startswith("--")), param.human_readable_name)
        place: Any = ctx.obj if ctx is not None else None
        return int(place.number(value, what)) if hasattr(place, "number") else number(value, what)


def number(text: str, what: str) -> int:
    """Raises Usage."""
    try:
        value = int(text, 0)
    except ValueError:
        raise Usage(f"{what} {text}: not a number; write it as 0x1234 or 4660.") from None
    if not 0 <= value < 1 << 64:
        raise Usage(f"{what} {text}: not a 64-bit address or offset.")
    return value
