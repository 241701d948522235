"""What a second look is compared by, as the report has it."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Optional, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.steps.movement import Movement
from dumpwalk.report.sections.movement import model


def movement(facts: Facts) -> model.Movement:
    look = facts.of(Movement)
    core = facts.process.corefile
    live = core.live if core is not None else None
    taken, source = (iso(live.taken), model.STOP) if live is not None else _taken(facts)
    switches = live.switches if live is not None else {}
    return model.Movement(
        taken=taken,
        taken_from=source,
        process_started=live.started if live is not None else None,
        stopped_us=round(live.seconds * 1e6) if live is not None else None,
        stops=live.stops if live is not None else None,
        marks=tuple(
            model.ThreadMark(m.thread.index, m.registers, m.stack, switches.get(m.thread.tid or 0)) for m in look.marks
        ),
        counters=tuple(model.Counter(c.name, f"0x{c.address:x}", c.value) for c in look.counters),
    )


def _taken(facts: Facts) -> Tuple[Optional[str], Optional[str]]:
    """Of the core's file as it was given: a compressed one has its own."""
    core = facts.process.corefile
    if core is None:
        return None, None
    if core.evidence is not None:
        taken = core.evidence.taken_us
        try:
            return (iso(taken / 1e6), model.FILE_TIME) if taken else (None, None)
        except (OSError, ValueError, OverflowError):
            return None, None
    try:
        return iso(os.stat(core.path).st_mtime), model.FILE_TIME
    except (OSError, ValueError, OverflowError):
        return None, None


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


MAKE = movement
