"""The subcommands of `dumpwalk` inside lldb: the command line's own, on the selected target instead of a file.

Options are those of the command line (dumpwalk/front/cli.py), without the ones that make no sense here. lldb 20 and later
parses and completes them; older ones hand over the line. Nothing leaves these commands as an exception: lldb would print
a traceback and go on as if all was well.
"""

from __future__ import annotations

import inspect
import os
import shlex
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import click
import lldb

from dumpwalk import api
from dumpwalk.errors import DumpwalkError, Usage
from dumpwalk.front import cli, output
from dumpwalk.report.model import Report

COMMANDS = {
    "analyze": "Analyze",
    "threads": "Threads",
    "locks": "Locks",
    "graph": "Graph",
    "cache": "Cache",
    "walk": "Walk",
    "explain": "Explain",
}
"""Subcommand → class of this module."""

_LEFT_OUT = ("cores", "core", "sha256", "timeout", "exit_zero", "verbose")
"""Parameters of the command line that are about files, child processes and exit codes."""

_KINDS = {
    "modules": "eArgTypeFilename", "output": "eArgTypeFilename", "kind": "eArgTypeFormat", "max_bytes": "eArgTypeByteSize",
    "words": "eArgTypeCount", "limit": "eArgTypeCount", "next_offset": "eArgTypeOffset", "end": "eArgTypeAddress",
    "grep": "eArgTypeRegularExpression",
}  # fmt: skip
"""lldb's name for the kind of value that an option takes, for its help and completion."""

_View = Callable[[Report, int, bool], str]


class Subcommand:
    """One subcommand, by lldb's protocol for command classes, parsed (`-p`) or not."""

    name = ""

    def __init__(self, debugger: Any, internal_dict: Any) -> None:
        line = cli.main.commands[self.name]
        self.parameters = [p for p in line.params if p.name not in _LEFT_OUT]
        self.command = click.Command(
            f"dumpwalk {self.name}", params=self.parameters, help=_help_here(line.help or ""), add_help_option=False
        )
        self._given: List[str] = []
        self._parsed = False

    def run(self, session: Session, options: Dict[str, Any]) -> None:
        raise NotImplementedError

    def __call__(self, debugger: Any, command: Any, exe_ctx: Any, result: Any) -> None:
        arguments: List[str] = []
        try:
            if isinstance(command, str):
                arguments = shlex.split(command)
            else:
                words = [command.GetItemAtIndex(i).GetStringValue(1 << 16) for i in range(command.GetSize())]
                arguments = [*self._given, "--", *words]
            options = self.command.make_context(self.command.name, arguments).params
            self.run(Session(debugger, exe_ctx, result), options)
            result.SetStatus(lldb.eReturnStatusSuccessFinishResult)
        except click.ClickException as error:
            result.SetError(f"{error.format_message()} See `help dumpwalk {self.name}`.")
        except Usage as error:
            result.SetError(f"{error} See `help dumpwalk {self.name}`.")
        except DumpwalkError as error:
            result.SetError(error.sentence())
        except KeyboardInterrupt:
            result.SetError("interrupted.")
        except Exception as error:  # the last line before lldb, which would show a traceback and report success
            result.SetError(f"dumpwalk failed on this target ({type(error).__name__}: {error}); please report this.")

    # --- help

    def get_short_help(self) -> str:
        return (self.command.help or "").split("\n")[0]

    def get_long_help(self) -> str:
        """The help text; usage and options too where lldb does not list them by itself."""
        if self._parsed:
            return f"{self.command.help}\n\nWorks on the selected target. The same as `{self.command.name}` on a command line.\n"
        return self.command.get_help(click.Context(self.command, info_name=self.command.name, max_content_width=78))

    # --- options, as lldb's parser wants them

    def get_flags(self) -> int:
        return 0

    def get_options_definition(self) -> Dict[str, Dict[str, Any]]:
        self._parsed = True
        options = [p for p in self.parameters if isinstance(p, click.Option)]
        return {_long(p): _definition(p, position) for position, p in enumerate(options)}

    def get_args_definition(self) -> List[List[Dict[str, Any]]]:
        arguments = [p for p in self.parameters if isinstance(p, click.Argument)]
        kinds = {"address": lldb.eArgTypeAddress}
        return [
            [{"arg_type": kinds.get(p.name or "", lldb.eArgTypeName), "repeat": "plain" if p.required else "optional"}]
            for p in arguments
        ]

    def option_parsing_started(self) -> None:
        self._given = []

    def set_option_value(self, exe_ctx: Any, name: str, value: Optional[str]) -> bool:
        option = next((p for p in self.parameters if isinstance(p, click.Option) and _long(p) == name), None)
        if option is None:
            return False
        self._given.append(f"--{name}")
        if not option.is_flag:
            self._given.append(value or "")
        return True


class Session:
    """Where a command runs: the debugger, what is selected, and where its words go."""

    def __init__(self, debugger: Any, exe_ctx: Any, result: Any) -> None:
        self.debugger = debugger
        self.target = exe_ctx.target
        self.frame = exe_ctx.frame
        self.result = result

    def check(self, phase: str = "") -> None:
        """Stop when the user pressed Ctrl-C. Raises KeyboardInterrupt."""
        if hasattr(self.debugger, "InterruptRequested") and self.debugger.InterruptRequested():
            raise KeyboardInterrupt

    def report(self, options: Dict[str, Any]) -> Report:
        for path in options["modules"]:
            if not os.path.exists(path):
                raise Usage(f"--modules {path}: there is no such file or folder.")
        found = api.analyze_target(self.target, options["modules"], self.check)
        if options["redact"]:
            from dumpwalk.report.redact import redact

            found = redact(found)
        return found

    def say(self, text: str) -> None:
        self.result.PutCString(text.rstrip("\n"))

    def page(self) -> Tuple[int, bool]:
        """(columns, colour) of the session's terminal; plain and of a file's width when it goes elsewhere."""
        handle = self.debugger.GetOutputFile().GetFile()
        if handle is None or not handle.isatty():
            return output.FILE_WIDTH, False
        color = self.debugger.GetUseColor() and not os.environ.get("NO_COLOR")
        return max(60, min(self.debugger.GetTerminalWidth(), 200)), bool(color)


class _Reporting(Subcommand):
    """A subcommand that shows a report or a part of it."""

    def view(self, options: Dict[str, Any]) -> Optional[_View]:
        """What -f text shows; None for the whole report."""
        return None

    def run(self, session: Session, options: Dict[str, Any]) -> None:
        targets = output.check_targets(options["output"])
        view = self.view(options)
        report = session.report(options)
        if options.get("known_issue"):
            _known_issue(session, report, options, targets)
            return
        for file, kind in targets:
            output.write(file, output.render([report], kind, output.FILE_WIDTH, False, options["max_bytes"]))
        width, color = session.page()
        if view is not None and options["kind"] == "text":
            session.say(view(report, width, color))
        else:
            session.say(output.render([report], options["kind"], width, color, options["max_bytes"]))


def _known_issue(session: Session, report: Report, options: Dict[str, Any], targets: Sequence[Tuple[str, str]]) -> None:
    from dumpwalk.report import known_issue

    if known_issue.render_json(report) is None:
        session.say(known_issue.no_hang_sentence(report))
        return
    for file, kind in targets:
        render = known_issue.render_markdown if kind == "markdown" else known_issue.render_json
        output.write(file, (render(report) or "").rstrip("\n") + "\n")
    render = known_issue.render_markdown if options["kind"] == "markdown" else known_issue.render_json
    session.say(render(report) or "")


class Analyze(_Reporting):
    name = "analyze"


class Threads(_Reporting):
    name = "threads"

    def view(self, options: Dict[str, Any]) -> Optional[_View]:
        import re

        from dumpwalk.report import text

        try:
            re.compile(options["grep"] or "")
        except re.error as error:
            raise Usage(f"--grep {options['grep']}: not a regular expression ({error}).") from error
        return lambda report, width, color: text.render_threads(
            report, grep=options["grep"], waiting_on=options["waiting_on"], width=width, color=color
        )


class Locks(_Reporting):
    name = "locks"

    def view(self, options: Dict[str, Any]) -> Optional[_View]:
        from dumpwalk.report import text

        return text.render_locks


class Graph(_Reporting):
    name = "graph"

    def view(self, options: Dict[str, Any]) -> Optional[_View]:
        from dumpwalk.report import text

        return text.render_graph_text


class Cache(_Reporting):
    name = "cache"

    def view(self, options: Dict[str, Any]) -> Optional[_View]:
        from dumpwalk.report import text

        return text.render_cache


class Walk(Subcommand):
    name = "walk"

    def run(self, session: Session, options: Dict[str, Any]) -> None:
        from dumpwalk import list_walk
        from dumpwalk.debugger.target import process_of_target

        offset = _number(session, options["next_offset"], "--next")
        end = _number(session, options["end"], "--end") if options["end"] else None
        start = _number(session, options["address"], "ADDRESS")
        with process_of_target(lldb, session.target, (), session.check) as process:
            segments = process.corefile.segments if process.corefile is not None else process.memory.segments()
            walk = list_walk.walk_memory(
                process.memory,
                start,
                offset,
                end,
                options["words"],
                options["limit"],
                [(s.start, s.end) for s in segments],
            )
        session.say(list_walk.render(walk, options["kind"]))


class Explain(Subcommand):
    name = "explain"

    def run(self, session: Session, options: Dict[str, Any]) -> None:
        from dumpwalk import explanations

        session.say(explanations.text(options["kind"]) if options["kind"] else explanations.listing())

    def handle_argument_completion(self, args: Any, position: int, cursor: int) -> Union[bool, Dict[str, Any]]:
        """The kinds that begin like the word at the cursor."""
        from dumpwalk import explanations

        typed = (
            args.GetItemAtIndex(position).GetStringValue(256)
            if hasattr(args, "GetItemAtIndex")
            else str(args[position])
        )
        kinds = [k for k in explanations.kinds() if k.startswith(typed[:cursor])]
        if position > 0 or not kinds:
            return True
        return {"completion": kinds[0]} if len(kinds) == 1 else {"values": kinds}


def _help_here(text: str) -> str:
    """The command line's help without what it says of core files and exit codes."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(p.split()) for p in parts if not p.startswith(("CORE ", "Exit code")))


def _number(session: Session, text: str, what: str) -> int:
    """A number, or a register of the selected frame: `$rbx`."""
    if text.startswith("$") and session.frame.IsValid():
        register = session.frame.FindRegister(text[1:])
        if register.IsValid() and register.GetValue() is not None:
            return int(register.GetValueAsUnsigned())
        raise Usage(f"{what} {text}: the selected frame has no such register with a value.")
    return cli._number(text, what)


def _help_of(option: click.Option) -> str:
    default = option.default if option.show_default and option.default is not None else None
    return f"{option.help or ''}{'' if default is None else f' Default: {default}.'}"


def _long(option: click.Option) -> str:
    return max(option.opts, key=len).lstrip("-")


def _definition(option: click.Option, position: int) -> Dict[str, Any]:
    """lldb's description of an option. One without a letter gets an unprintable one, which lldb keeps out of its help:
    without any letter it would give up letters altogether, and take -m for an ambiguous abbreviation."""
    short = next((o[1] for o in option.opts if len(o) == 2), chr(1 + position))
    definition: Dict[str, Any] = {"required": False, "help": _help_of(option), "short_option": short}
    if option.is_flag:
        return definition
    kind = _KINDS.get(option.name or "", "eArgTypeName")
    completion = lldb.eDiskFileCompletion if kind == "eArgTypeFilename" else lldb.eNoCompletion
    definition.update(value_type=getattr(lldb, kind), completion_type=completion, dest=option.name, default=None)
    if isinstance(option.type, click.Choice):
        definition["enum_values"] = [[choice, ""] for choice in option.type.choices]
    return definition
