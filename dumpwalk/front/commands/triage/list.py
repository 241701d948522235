"""`dumpwalk triage list`: signatures with their hits."""

from __future__ import annotations

import click

from dumpwalk.front import parameters, triage
from dumpwalk.front.command import Command, Option, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.triage import store, views

    at = triage.moment(options["at"])
    with store.opened(options["store"]) as opened:
        found = opened.seen(at, states=options["state"])
        if options["status"]:
            found = [s for s in found if s.status in options["status"]]
        place.say(views.render(opened, found, at, options["kind"], place.page()[0]))
    return 0


COMMAND = Command(
    """Every signature: state, hits in 24 hours, 7 days and 1 month, first and last seen.

    First those that were resolved and came back, then by severity, then by recent hits. Hangs without a signature are
    counted by the shape of their stacks (fp-...).
    """,
    _run,
    parameters=(
        triage.store_option(),
        Option(
            "--state",
            "state",
            lldb=None,
            multiple=True,
            type=click.Choice(["new", "known", "resolved"]),
            help="Only signatures in this state. Repeatable.",
        ),
        Option(
            "--status",
            "status",
            lldb=None,
            multiple=True,
            type=click.Choice(["hang", "suspicious", "inconclusive", "none"]),
            help="Only these verdicts. Repeatable.",
        ),
        triage.at_option(),
        parameters.format_of(("text", "markdown", "json", "ndjson", "html")),
    ),
    examples=(
        ("dumpwalk triage list --state new --status hang", "what nobody has looked at yet"),
        ("dumpwalk triage list -f html > triage.html", "a page for the team"),
    ),
    rank=20,
)
