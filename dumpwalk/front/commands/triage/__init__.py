"""`dumpwalk triage`: the store of reports."""

from __future__ import annotations

from dumpwalk.front.command import Group
from dumpwalk.front.commands import commands_of

COMMAND = Group(
    """The store of reports: which hangs are known, since when, how often, on which runtimes.

    A file of this user by default; --store or DUMPWALK_STORE name another one, or a PostgreSQL server that a team shares.
    """,
    commands_of(__name__, list(__path__)),
    examples=(
        ("dumpwalk triage add reports/*.json", "count what was analysed"),
        ("dumpwalk triage list", "signatures, the worst and most frequent first"),
        ("dumpwalk triage list -f html > triage.html", "a page for the team"),
    ),
    rank=400,
)
