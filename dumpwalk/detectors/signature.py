"""What the signature of a lock finding is made of (claims/signature.py): the locks' names, and who waits where."""

from __future__ import annotations

from typing import Dict, Iterable, Sequence

from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.core.names import plain
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.names import first_own_frame
from dumpwalk.locks.graph import Node


def lock_parts(locks: Iterable[LockFact], threads: Iterable[Thread], facts: Facts) -> Sequence[str]:
    """For lock findings: names of the locks and of who waits, sorted and each once."""
    parts = {f"lock {k.name or 'unnamed'}" for k in locks}
    for thread in threads:
        frame = first_own_frame(thread.frames())
        if frame is not None and frame.function and frame.name_source == "symbol":
            parts.add(f"in {plain(frame.function)}")
    return sorted(parts)


def resource_parts(
    facts: Facts, waited: Sequence[Node], locks: Dict[Node, LockFact], threads: Sequence[Thread]
) -> Sequence[str]:
    """For rings over anything that is waited for. Managed things go by their kind and type, never by an address; a thread
    with managed frames by the program's own method, whose name is in the dump's own metadata."""
    rows = [locks[node] for node in waited if node in locks]
    plain_ones = [k for k in rows if not k.state.managed]
    parts = {f"{k.kind} {k.state.object_type or ''}".rstrip() for k in rows if k.state.managed}
    parts |= {node.kind for node in waited if node not in locks}
    natives = []
    for thread in threads:
        own = facts.around.own_method(thread) if facts.around is not None else None
        if own is not None:
            parts.add(f"in {own}")
        else:
            natives.append(thread)
    return sorted({*parts, *lock_parts(plain_ones, natives, facts)})
