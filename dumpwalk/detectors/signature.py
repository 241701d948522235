"""What the signature of a lock finding is made of (claims/signature.py): the locks' names, and who waits where."""

from __future__ import annotations

from typing import Iterable, Sequence

from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.core.names import plain
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.names import first_own_frame


def lock_parts(locks: Iterable[LockFact], threads: Iterable[Thread], facts: Facts) -> Sequence[str]:
    """For lock findings: names of the locks and of who waits, sorted and each once."""
    parts = {f"lock {k.name or 'unnamed'}" for k in locks}
    for thread in threads:
        frame = first_own_frame(thread.frames())
        if frame is not None and frame.function and frame.name_source == "symbol":
            parts.add(f"in {plain(frame.function)}")
    return sorted(parts)
