"""`dumpwalk triage prune`: forget old dumps."""

from __future__ import annotations

from datetime import timedelta

import click

from dumpwalk.front import triage
from dumpwalk.front.command import Command, Option, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.triage import store

    before = triage.moment(options["at"]) - timedelta(days=options["older_than"])
    with store.opened(options["store"]) as opened:
        gone = opened.prune(before)
    place.say(f"{gone} {'dump' if gone == 1 else 'dumps'} forgotten")
    return 0


COMMAND = Command(
    """Forget dumps that are older than some days.

    Signatures that somebody marked stay, with their state and issue.
    """,
    _run,
    parameters=(
        Option(
            "--older-than",
            "older_than",
            lldb=None,
            required=True,
            metavar="DAYS",
            type=click.FloatRange(min=0),
            help="Age in days.",
        ),
        triage.store_option(),
        triage.at_option(),
    ),
    examples=(("dumpwalk triage prune --older-than 90", "keep a quarter of a year"),),
    rank=70,
)
