"""Words that the store's answers and its page share."""

from __future__ import annotations

from datetime import datetime

from dumpwalk.triage.store import Seen


def sentence(line: str) -> str:
    """The verdict line without its mark, status, kind and signature."""
    return line.split(": ", 2)[-1].rpartition(" [sig")[0] or line


def state_word(one: Seen) -> str:
    return "came back" if one.regressed else one.state


def when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%MZ")
