"""`dumpwalk triage mark`: what the team says of a signature."""

from __future__ import annotations

import click

from dumpwalk.errors import Usage
from dumpwalk.front import triage
from dumpwalk.front.command import Argument, Command, Option, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.triage import store

    issue = options["issue"]
    if issue is not None and not issue.startswith(("https://", "http://")):
        raise Usage(f"--issue {issue}: not a link with https or http.")
    at = triage.moment(options["at"])
    with store.opened(options["store"]) as opened:
        one = opened.one(options["signature"], triage.moment(None))
        opened.mark(one.key, options["state"], issue, at)
    place.say(f"{one.key} is {options['state']}" + (f", {issue}" if issue else ""))
    return 0


COMMAND = Command(
    """Say of a signature that it is new, known (with the issue's link) or resolved.

    A resolved one that is seen again after that moment comes first in lists, reports and comments.
    """,
    _run,
    parameters=(
        Argument("signature", lldb=None),
        Option(
            "--state",
            "state",
            lldb=None,
            required=True,
            type=click.Choice(["new", "known", "resolved"]),
            help="What it is now.",
        ),
        Option("--issue", "issue", lldb=None, metavar="URL", help="The issue that follows it."),
        triage.store_option(),
        Option("--at", "at", lldb=None, metavar="TIME", help="Since when (ISO 8601, UTC). Default: now."),
    ),
    examples=(
        (
            "dumpwalk triage mark 4fd21060 --state known --issue https://github.com/dotnet/runtime/issues/128859",
            "followed there",
        ),
    ),
    rank=50,
)
