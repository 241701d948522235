"""Commands that look at a process's memory by themselves instead of showing a report: `walk`, and whatever is like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Sequence

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

    It runs within --timeout; what it raises as DumpwalkError is the one sentence that the person gets.
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
            parameters.verbose(),
        ),
        in_lldb=True,
        look=look,
        **attributes,
    )
    return command
