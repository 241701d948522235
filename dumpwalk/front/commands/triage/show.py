"""`dumpwalk triage show`: one signature."""

from __future__ import annotations

from dumpwalk.front import parameters, triage
from dumpwalk.front.command import Argument, Command, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.triage import store, views

    at = triage.moment(options["at"])
    with store.opened(options["store"]) as opened:
        one = opened.one(options["signature"], at)
        if options["kind"] == "report":
            place.say(opened.newest_report(one.key) or "null")
        else:
            place.say(views.show(opened, one, options["kind"]))
    return 0


COMMAND = Command(
    """One signature: its verdict line, state, hits, runtimes, and its newest dumps.

    SIGNATURE may be shortened as long as only one begins so. `-f report` prints its newest report as JSON.
    """,
    _run,
    parameters=(
        Argument("signature", lldb=None),
        triage.store_option(),
        triage.at_option(),
        parameters.format_of(("text", "json", "report")),
    ),
    examples=(("dumpwalk triage show 4fd21060", "what is known of it"),),
    rank=30,
)
