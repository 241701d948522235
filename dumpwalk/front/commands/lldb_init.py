"""`dumpwalk lldb-init`: the line that gives every lldb session the dumpwalk command."""

from __future__ import annotations

from dumpwalk.front.command import Command, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.front import lldb_init

    place.say(lldb_init.init_line())
    return 0


COMMAND = Command(
    "The line to paste into ~/.lldbinit, so that every lldb session has the dumpwalk command.",
    _run,
    examples=(("dumpwalk lldb-init >> ~/.lldbinit", "`dumpwalk analyze` in every session from then on"),),
    rank=930,
)
