"""`dumpwalk triage hits`: the hit counts of a Known Build Error."""

from __future__ import annotations

from dumpwalk.front import parameters, triage
from dumpwalk.front.command import Argument, Command, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.triage import store, views

    at = triage.moment(options["at"])
    with store.opened(options["store"]) as opened:
        place.say(views.hits(opened.one(options["signature"], at), options["kind"]))
    return 0


COMMAND = Command(
    """Hits of one signature in 24 hours, 7 days and 1 month.

    `-f markdown` is the three-column table of a Known Build Error issue.
    """,
    _run,
    parameters=(
        Argument("signature", lldb=None),
        triage.store_option(),
        triage.at_option(),
        parameters.format_of(("text", "markdown", "json")),
    ),
    examples=(("dumpwalk triage hits 4fd21060 -f markdown", "the table for the issue"),),
    rank=40,
)
