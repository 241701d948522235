"""`dumpwalk triage comment`: the comment to post on an issue, or to update."""

from __future__ import annotations

from dumpwalk.front import triage
from dumpwalk.front.command import Argument, Command, Option, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.triage import comment, store

    at = triage.moment(options["at"])
    with store.opened(options["store"]) as opened:
        one = opened.one(options["signature"], at)
        place.say(comment.text(opened, one, options["max_bytes"]))
    return 0


COMMAND = Command(
    """The comment for an issue: hits, runtimes and the newest report of one signature.

    Its first line is a mark by which a bot finds the comment again, to update it instead of posting a second one.
    """,
    _run,
    parameters=(
        Argument("signature", lldb=None),
        triage.store_option(),
        triage.at_option(),
        Option(
            "--max-bytes",
            "max_bytes",
            lldb=None,
            default=60000,
            show_default=True,
            type=int,
            help="Budget in UTF-8 bytes.",
        ),
    ),
    examples=(("dumpwalk triage comment 4fd21060 > comment.md", "for `gh issue comment --body-file`"),),
    rank=60,
)
