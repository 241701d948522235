"""`dumpwalk walk`: any singly linked list, from an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dumpwalk import limits
from dumpwalk.front.command import Answer, Argument, Number, Option, Options, View
from dumpwalk.front.looking import look_command

if TYPE_CHECKING:
    from dumpwalk.core.process import Process


def _look(process: Process, options: Options, view: View) -> Answer:
    from dumpwalk import list_walk

    segments = process.regions
    walk = list_walk.walk_memory(
        process.memory,
        options["address"],
        options["next_offset"],
        options["end"],
        options["words"],
        options["limit"],
        [(s.start, s.end) for s in segments],
    )
    return Answer(list_walk.render(walk, options["kind"]), walk.exit_code)


COMMAND = look_command(
    """Walk any singly linked list from ADDRESS, and say how it ends.

    Exit code 0 when it ends at NULL or the sentinel, 11 when it is cyclic or leads to a bad pointer, 12 when it leads out of
    the dump or the limit was hit.
    """,
    look=_look,
    more=(
        Argument("address", lldb="eArgTypeAddress", type=Number()),
        Option(
            "--next",
            "next_offset",
            lldb="eArgTypeOffset",
            default="0x18",
            show_default=True,
            metavar="OFFSET",
            type=Number(),
            help="Where a node's next pointer is, in bytes.",
        ),
        Option(
            "--end",
            "end",
            lldb="eArgTypeAddress",
            metavar="ADDRESS",
            type=Number(),
            help="A sentinel: the walk ends well when it gets there (and at NULL).",
        ),
        Option(
            "--words",
            lldb="eArgTypeCount",
            default=4,
            show_default=True,
            type=click.IntRange(1, 64),
            help="Words of each node to show.",
        ),
        Option(
            "--limit",
            lldb="eArgTypeCount",
            default=limits.WALK_NODES,
            show_default=True,
            type=click.IntRange(1, limits.WALK_NODES),
            help="Nodes at most.",
        ),
    ),
    examples=(("dumpwalk walk core.1234 0x7f4f52920260 --next 0x18", "a chain of the dispatch cache's elements"),),
    rank=60,
)
