"""`dumpwalk lldb-init`: the line that gives every lldb session the dumpwalk command."""

from __future__ import annotations

import os

from dumpwalk.front.command import Command, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.front import lldb_init

    place.say(lldb_init.init_line())
    for sentence in lldb_init.how_to_start(os.environ):
        place.note(sentence)
    return 0


COMMAND = Command(
    """The line to paste into ~/.lldbinit, so that every lldb session has the dumpwalk command.

    How to start lldb is said on standard error where typing `lldb` is not enough.
    """,
    _run,
    examples=(("dumpwalk lldb-init >> ~/.lldbinit", "`dumpwalk analyze` in every session from then on"),),
    rank=930,
)
