"""The signature of a hang: equal for two dumps of one bug, on Linux and macOS, with or without symbols.

It hashes a version of itself, the finding's kind, the class of the walker and the lock's name; for lock findings the locks'
names and the first own function above each wait, sorted. Never waiters, counts, addresses, versions or systems.
"""

from __future__ import annotations

import hashlib
from typing import Iterable, Sequence

from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.names import first_own_frame, plain

SIGNATURE_VERSION = "1"


def signature(kind: str, parts: Sequence[str]) -> str:
    """Eight hex digits over the version, the kind and the parts in the order given."""
    text = "\n".join([SIGNATURE_VERSION, kind, *parts])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


def lock_parts(locks: Iterable[LockFact], threads: Iterable[Thread], facts: Facts) -> Sequence[str]:
    """For lock findings: names of the locks and of who waits, sorted and each once."""
    parts = {f"lock {k.name or 'unnamed'}" for k in locks}
    for thread in threads:
        frame = first_own_frame(thread.frames())
        if frame is not None and frame.function and frame.name_source == "symbol":
            parts.add(f"in {plain(frame.function)}")
    return sorted(parts)
