"""Makes lldb know the `dumpwalk` command, and says which line of ~/.lldbinit does so for this installation."""

from __future__ import annotations

import os
import sys
from typing import Any, List, Mapping

NAME = "dumpwalk"
SUMMARY = "Explain why a .NET or native process hangs, from the selected target: a core or a stopped process."

_SYNTAX = f"{NAME} <subcommand> [<options>] [<arguments>]"
"""lldb shows the long help of a container as its line of syntax."""
_problem = ""


def register(debugger: Any) -> None:
    """Add the container command `dumpwalk` with its subcommands. Where packages lack, one command that says what to do."""
    try:
        from dumpwalk.front import lldb_commands
    except ImportError as error:
        global _problem
        _problem = (
            f"dumpwalk cannot be used in this lldb ({error}). Run `dumpwalk lldb-init` where it is installed, and use "
            "the line that it prints."
        )
        print(_problem, file=sys.stderr)
        _handle(debugger, f'command script add -o -h "{_problem}" -f dumpwalk.front.lldb_init.unusable {NAME}')
        return
    _handle(debugger, f'command container add -o -h "{SUMMARY}" -H "{_SYNTAX}" {NAME}')
    for name, kind in lldb_commands.COMMANDS.items():
        add = f"-c dumpwalk.front.lldb_commands.{kind} {NAME} {name}"
        # -p: lldb parses and completes the options (lldb 20 and later); elsewhere the command gets its line as it is
        if not _handle(debugger, f"command script add -o -p {add}"):
            _handle(debugger, f"command script add -o {add}")


def unusable(debugger: Any, command: str, exe_ctx: Any, result: Any, internal_dict: Any) -> None:
    """The `dumpwalk` command of an lldb whose Python lacks packages."""
    result.SetError(_problem)


def _handle(debugger: Any, command: str) -> bool:
    import lldb

    result = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand(command, result, False)
    return bool(result.Succeeded())


def init_line() -> str:
    """The line for ~/.lldbinit. Where dumpwalk's packages are not beside it (an editable installation), the line tells
    lldb's Python where they are."""
    from dumpwalk.debugger.own_folders import dependency_dirs, package_parent

    if os.path.isfile(package_parent()):  # one zip, which lldb's own import does not open
        return (
            f"script import sys; sys.path += [{package_parent()!r}]; import dumpwalk.front.lldb_init; "
            "dumpwalk.front.lldb_init.register(lldb.debugger)"
        )
    package = os.path.join(package_parent(), "dumpwalk")
    elsewhere: List[str] = [d for d in dependency_dirs() if os.path.realpath(d) != os.path.realpath(package_parent())]
    if not elsewhere:
        return f"command script import {_quoted(package)}"
    return (
        f"script import sys; sys.path += {elsewhere!r}; "
        f"lldb.debugger.HandleCommand({'command script import ' + _quoted(package)!r})"
    )


def how_to_start(environ: Mapping[str, str]) -> List[str]:
    """A sentence for each lldb whose session needs more than the word `lldb`: another name, or a variable."""
    from dumpwalk.debugger.discovery import discover
    from dumpwalk.debugger.session_start import session_starts

    found = discover(environ)
    starts = session_starts(found, environ)
    out = []
    for start in starts:
        if start.command is None:
            out.append(f"{start.binary} cannot use the line: Python does not work in its sessions ({start.why}).")
        elif start.pythonpath is not None:
            out.append(f"Start lldb as: {start.command}  (without the variable its own Python module is not found)")
        elif start.command != "lldb":
            out.append(f"Start lldb as: {start.command}")
    return out or ([] if starts else [found.problem or "No lldb program was found on this machine."])


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"' if any(c in path for c in " '\"\\") else path
