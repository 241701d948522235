"""Commands that look at a process's memory by themselves instead of showing a report: `walk`, and whatever is like it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Callable, Dict, Sequence

import click

from dumpwalk.front import parameters
from dumpwalk.front.command import Answer, Command, Options, Place, View

if TYPE_CHECKING:
    from dumpwalk.core.process import Process


def look_command(
    help_text: str,
    look: Callable[[Process, Options, View], Answer],
    more: Sequence[click.Parameter] = (),
    **attributes: Any,
) -> Command:
    """`look` gets the open process, the options' values and how wide the page is. With `stacks=True` lldb opens the core.

    It runs within --timeout, on a command line in a child process that finds it by its name in its module. What it raises as
    DumpwalkError is the one sentence that the person gets.
    """

    def run(place: Place, options: Options) -> int:
        answer = place.look(command, options)
        place.say(answer.text)
        return answer.exit_code

    command = Command(
        help=help_text,
        run=run,
        parameters=(
            parameters.core(),
            *more,
            parameters.modules(),
            parameters.format_of(("text", "json")),
            parameters.timeout(),
            *parameters.display(),
            parameters.verbose(),
        ),
        in_lldb=True,
        look=look,
        **attributes,
    )
    return command


def in_child(process: Process, arguments: Dict[str, Any]) -> Dict[str, Any]:
    """A look, called by its name in the child that opened the process."""
    module, _, name = arguments["look"].partition(":")
    look = getattr(importlib.import_module(module), name)
    answer: Answer = look(process, arguments["options"], View(arguments["width"], arguments["color"]))
    return {"text": answer.text, "exit_code": answer.exit_code}
