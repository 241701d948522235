"""`dumpwalk schema`: the JSON Schema of the report."""

from __future__ import annotations

from dumpwalk.front.command import Command, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.report import schema

    place.say(schema.text())
    return 0


COMMAND = Command(
    "The JSON Schema of the report.",
    _run,
    examples=(("dumpwalk schema > report.schema.json", "for a validator, or for code that is made from it"),),
    rank=920,
)
