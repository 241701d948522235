"""`dumpwalk doctor`: what was found of lldb."""

from __future__ import annotations

from dumpwalk.front import parameters
from dumpwalk.front.command import Command, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.front import doctor

    text, code = doctor.run(options["verbose"])
    place.say(text)
    return code


COMMAND = Command(
    "What was found of lldb, its Python and its version, and what to do if something is missing.",
    _run,
    (parameters.verbose("Also what was passed over."),),
    examples=(("dumpwalk doctor", "after the installation, or when an analysis had no stacks"),),
    rank=900,
)
