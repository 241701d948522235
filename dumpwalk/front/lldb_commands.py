"""The subcommands of `dumpwalk` inside lldb: a class of lldb's protocol for each command of the table that says so.

Options are the command's own, without the ones that make no sense here. lldb 20 and later parses and completes them; older
ones hand over the line. Nothing leaves these classes as an exception: lldb would print a traceback and go on as if all was
well.
"""

from __future__ import annotations

import inspect
import shlex
import string
from typing import Any, Dict, List, Optional, Sequence, Set, Union

import click
import lldb

from dumpwalk.errors import DumpwalkError, Usage
from dumpwalk.front import commands
from dumpwalk.front.command import Argument, Command, Option
from dumpwalk.front.session import Session


class Subcommand:
    """One subcommand, by lldb's protocol for command classes, parsed (`-p`) or not."""

    name = ""
    told: Command

    def __init__(self, debugger: Any, internal_dict: Any) -> None:
        self.parameters = [p for p in self.told.parameters if getattr(p, "lldb", None) is not None]
        self.command = click.Command(
            f"dumpwalk {self.name}",
            params=list(self.parameters),
            help=_help_here(self.told.help),
            add_help_option=False,
        )
        self._given: List[str] = []
        self._parsed = False

    def __call__(self, debugger: Any, command: Any, exe_ctx: Any, result: Any) -> None:
        arguments: List[str] = []
        try:
            if isinstance(command, str):
                arguments = shlex.split(command)
            else:
                words = [command.GetItemAtIndex(i).GetStringValue(1 << 16) for i in range(command.GetSize())]
                arguments = [*self._given, "--", *words]
            session = Session(debugger, exe_ctx, result)
            options = self.command.make_context(self.command.name, arguments, obj=session).params
            self.told.run(session, options)
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
        """The help text with usage and examples; the options too where lldb does not list them by itself."""
        if not self._parsed:
            context = click.Context(self.command, info_name=self.command.name, max_content_width=78)
            return self.command.get_help(context) + self._examples()
        target = "Works on the selected target, a core or a stopped process."
        return f"{self.command.help}\n\nUsage: {self._usage()}\n{self._examples()}\n{target}\n"

    def _usage(self) -> str:
        """lldb's own line of syntax leaves out the word dumpwalk."""
        arguments = [p for p in self.parameters if isinstance(p, Argument)]
        names = [p.make_metavar(click.Context(self.command)) for p in arguments]
        options = ["[OPTIONS]"] if any(isinstance(p, Option) for p in self.parameters) else []
        return " ".join([f"dumpwalk {self.name}", *options, *names])

    def _examples(self) -> str:
        """Those of the command line that can be typed here."""
        lines = []
        for line, what in self.told.examples:
            here = _typed_here(line, {option for p in self.parameters for option in p.opts})
            if here not in (None, f"dumpwalk {self.name}"):
                lines.append(f"  {here}\n      {what}\n")
        return "\nExamples:\n" + "".join(dict.fromkeys(lines)) if lines else ""

    # --- options, as lldb's parser wants them

    def get_flags(self) -> int:
        return 0

    def get_options_definition(self) -> Dict[str, Dict[str, Any]]:
        self._parsed = True
        options = [p for p in self.parameters if isinstance(p, Option)]
        letters = _letters(options)
        return {_long(p): _definition(p, letters[_long(p)]) for p in options}

    def get_args_definition(self) -> List[List[Dict[str, Any]]]:
        return [
            [{"arg_type": getattr(lldb, p.lldb or ""), "repeat": "plain" if p.required else "optional"}]
            for p in self.parameters
            if isinstance(p, Argument)
        ]

    def option_parsing_started(self) -> None:
        self._given = []

    def set_option_value(self, exe_ctx: Any, name: str, value: Optional[str]) -> bool:
        option = next((p for p in self.parameters if isinstance(p, Option) and _long(p) == name), None)
        if option is None:
            return False
        self._given.append(f"--{name}")
        if not option.is_flag:
            self._given.append(value or "")
        return True

    def handle_argument_completion(self, args: Any, position: int, cursor: int) -> Union[bool, Dict[str, Any]]:
        """The argument's values that begin like the word at the cursor."""
        arguments = [p for p in self.parameters if isinstance(p, Argument)]
        complete = arguments[position].complete if position < len(arguments) else None
        if complete is None:
            return True
        typed = (
            args.GetItemAtIndex(position).GetStringValue(256)
            if hasattr(args, "GetItemAtIndex")
            else str(args[position])
        )
        values = list(complete(typed[:cursor]))
        if not values:
            return True
        return {"completion": values[0]} if len(values) == 1 else {"values": values}


def _help_here(text: str) -> str:
    """The command line's help without what it says of core files and exit codes."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(p.split()) for p in parts if not p.startswith(("CORE ", "Exit code")))


def _typed_here(line: str, options: Set[str]) -> Optional[str]:
    """An example without its core; None where it needs something that a session has not."""
    words = line.split(" ")
    if any("*" in word or word.startswith("-") and word.split("=")[0] not in options for word in words):
        return None
    return " ".join(word for word in words if not word.startswith("core."))


def _help_of(option: Option) -> str:
    default = option.default if option.show_default and option.default is not None else None
    return f"{option.help or ''}{'' if default is None else f' Default: {default}.'}"


def _long(option: Option) -> str:
    return max(option.opts, key=len).lstrip("-")


def _letters(options: Sequence[Option]) -> Dict[str, str]:
    """A letter for each option, by its long name: its own, else a capital of its name that is free.

    lldb needs one for each: without any letter it gives up letters altogether, and takes -m for an ambiguous abbreviation;
    an unprintable one stands as such in what the Tab key lists.
    """
    found = {_long(p): short for p in options for short in [next((o[1] for o in p.opts if len(o) == 2), "")] if short}
    for name in (n for n in map(_long, options) if n not in found):
        own = [c for c in name if c.isalpha()]
        wanted = [*(c.upper() for c in own), *own, *string.ascii_letters]
        found[name] = next(c for c in wanted if c not in found.values())
    return found


def _definition(option: Option, letter: str) -> Dict[str, Any]:
    """lldb's description of an option."""
    definition: Dict[str, Any] = {"required": False, "help": _help_of(option), "short_option": letter}
    if option.is_flag:
        return definition
    kind = option.lldb or "eArgTypeName"
    completion = lldb.eDiskFileCompletion if kind == "eArgTypeFilename" else lldb.eNoCompletion
    definition.update(value_type=getattr(lldb, kind), completion_type=completion, dest=option.name, default=None)
    if isinstance(option.type, click.Choice):
        definition["enum_values"] = [[choice, ""] for choice in option.type.choices]
    return definition


def class_name(name: str) -> str:
    """`lldb-init` as `LldbInit`."""
    return "".join(part.capitalize() for part in name.split("-"))


COMMANDS = {name: class_name(name) for name, told in commands.table().items() if told.in_lldb}
"""Subcommand to the class of this module that lldb is told of."""

for _name, _class in COMMANDS.items():
    globals()[_class] = type(_class, (Subcommand,), {"name": _name, "told": commands.find(_name)})
