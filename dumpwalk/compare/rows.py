"""The rows that every rendering of a comparison shows: threads of one motion together, counters that ran on."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from dumpwalk.compare.model import Comparison, CounterMotion, LockMotion, ThreadMotion
from dumpwalk.report.names import ranges

HEADLINE = {"stuck": "STUCK", "moving": "MOVING", "unknown": "CANNOT BE TOLD"}
MOTION_WORDS = {
    "still": "did not move", "turning": "ran within one function", "moved": "moved", "new": "began between the looks",
    "ended": "ended between the looks", "unknown": "cannot be told",
}  # fmt: skip
_ORDER = tuple(MOTION_WORDS)


def thread_rows(comparison: Comparison) -> List[Tuple[str, str, str]]:
    """(which, motion in words, what), threads with one motion and one place in one row."""
    rows: Dict[Tuple[str, str], List[ThreadMotion]] = {}
    for motion in comparison.threads:
        rows.setdefault((motion.motion, motion.what), []).append(motion)
    ordered = sorted(rows.items(), key=lambda row: (_ORDER.index(row[0][0]), -len(row[1])))
    return [(_which(members), MOTION_WORDS[motion], what) for (motion, what), members in ordered]


def _which(members: Sequence[ThreadMotion]) -> str:
    if len(members) == 1:
        one = members[0]
        number = f"{one.thread}" if one.thread is not None else f"(tid {one.tid})"
        return f"{number} {one.name}" if one.name else number
    here = [m.thread for m in members if m.thread is not None]
    gone = [m.tid for m in members if m.thread is None and m.tid is not None]
    return ranges(here) if here else f"(tids {ranges(gone)})"


def counters(comparison: Comparison) -> List[CounterMotion]:
    """Those that ran on first."""
    return sorted(comparison.counters, key=lambda c: c.before == c.after)


def lock_rows(comparison: Comparison) -> List[LockMotion]:
    """Those that stayed held first, and none that was free in both looks."""
    order = {"held": 0, "changed": 1, "unknown": 2, "taken": 3, "released": 4}
    told = [m for m in comparison.locks if not m.what.startswith("free")]
    return sorted(told, key=lambda m: (order[m.motion], -len(m.waiting)))


def taken(comparison: Comparison) -> List[Tuple[str, str, str]]:
    """(which look, path, when) of both."""
    rows = []
    for name, look in (("first look", comparison.first), ("second look", comparison.second)):
        when = f"{look.taken} ({look.taken_from})" if look.taken else "at a time that is not known"
        rows.append((name, look.path, when))
    return rows
