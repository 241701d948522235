"""Reports into the store of `dumpwalk triage`, and what it knows of them into the reports."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, List, Sequence

if TYPE_CHECKING:
    from dumpwalk.report.model import Entry


def known(outcomes: Sequence[Entry], where: str) -> List[Entry]:
    """The same with `verdict.known`. Raises StoreUnusable, Usage."""
    from dumpwalk.report.json_format import to_dict
    from dumpwalk.report.model import Report
    from dumpwalk.triage import store
    from dumpwalk.triage.record import record_of, time_of
    from dumpwalk.triage.views import known_sentence

    keys = {}
    found: List[Entry] = []
    with store.opened(where) as opened:
        for position, outcome in enumerate(outcomes):
            if isinstance(outcome, Report):
                given = to_dict(outcome)
                record = record_of(given, time_of(given, outcome.dump.path))
                opened.add(record)
                keys[position] = record.key
        now = datetime.now(timezone.utc)
        for position, outcome in enumerate(outcomes):
            if isinstance(outcome, Report) and (outcome.verdict.signature or outcome.verdict.fingerprint):
                seen = opened.seen(now, keys[position])  # nothing where the dump's time is in the future
                if seen:
                    outcome = replace(outcome, verdict=replace(outcome.verdict, known=known_sentence(seen[0])))
            found.append(outcome)
    return found
