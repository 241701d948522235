"""System.Threading.Lock (9 and later): owner's OS thread id, state and waiters are the object's own fields.

_state: bit 0 held, bit 1 should not preempt waiters, 0x80 for each waiter; _owningThreadId: OS thread id (0 nobody);
_recursionCount: 0 = held once. Source: src/libraries/System.Private.CoreLib/src/System/Threading/Lock.cs; read in 9.0.5,
9.0.20 and 10.0.12. Fields are found by name.
"""

from __future__ import annotations

from typing import Dict, List, Optional

from dumpwalk.core.grade import Grade
from dumpwalk.coreclr.locks.model import LockObject, LockWaiter, ManagedLock
from dumpwalk.coreclr.locks.monitor import label
from dumpwalk.coreclr.locks.reader import AREA, managed_reader
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import Owner, Sighting, Word

TYPE = "System.Threading.Lock"
_HELD, _WAITER, _WAITER_WOKEN = 1, 0x80, 0x80000000


def read_locks(around: Surroundings) -> List[ManagedLock]:
    """Locks that blocked threads name on their stacks."""
    if (around.runtime.major or 9) < 9:
        return []
    rows: Dict[int, Optional[ManagedLock]] = {}
    asleep = [w.thread for w in around.blocked() if w.call.kind in ("futex", "psynch-condition", "timed-wait")]
    threads = [thread for thread in asleep if thread.index not in around.resolved]
    entering = [t for t in threads if any(f.method.type_name == TYPE for f in around.managed_frames(t)[:6])]
    unnamed = [t for t in threads if around.unnamed_code(t)]
    for thread in [*entering, *unnamed]:
        inside = thread in entering
        for sighting, _ in around.objects(thread, TYPE):
            if sighting.value not in rows:
                rows[sighting.value] = held_row(around, sighting)
            row = rows[sighting.value]
            if row is None or not row.locked or not row.counted or around.owns(thread, row):
                continue
            if not inside and len(row.waiters) >= row.counted:
                continue
            how = f"{sighting.phrase()}, {label(row)}" + (
                ", below System.Threading.Lock's own method" if inside else ""
            )
            grade: Grade = "proved" if inside else "corroborated"
            row.waiters.append(LockWaiter(thread, grade, how, sighting))
            break
    found = [row for row in rows.values() if row is not None and (row.locked or row.waiters)]
    for row in found:
        if row.counted is not None and row.counted != len(row.waiters):
            row.note = f"its own count says {row.counted} waiting, {len(row.waiters)} were found on stacks"
    return found


def held_row(around: Surroundings, sighting: Sighting) -> Optional[ManagedLock]:
    """The Lock that a register or stack word names; None where its own words do not agree."""
    view, address = around.view, sighting.value
    fields = {name: view.field(address, name) for name in ("_owningThreadId", "_state", "_recursionCount")}
    values = {name: getattr(found, "value", None) for name, found in fields.items()}
    state, owner = values["_state"], values["_owningThreadId"]
    if state is None or owner is None:
        return None
    state, owner = int(state) & 0xFFFFFFFF, int(owner)
    held, waiters = bool(state & _HELD), (state & ~_WAITER_WOKEN) // _WAITER
    if held != bool(owner) or waiters > len(around.process.threads):
        return None
    row = ManagedLock("lock", "system-threading-lock", address, LockObject(address, TYPE), held, counted=waiters)
    row.recursion = int(values["_recursionCount"] or 0) + 1 if held else 0
    state_at, owner_at = fields["_state"], fields["_owningThreadId"]
    row.words.append(
        Word("_state of the Lock", state_at.address, state, 4, f"{'held' if held else 'free'}, {waiters} waiting")  # type: ignore[union-attr]
    )
    if held:
        word = Word("_owningThreadId of the Lock", owner_at.address, owner, owner_at.size or 4)  # type: ignore[union-attr]
        row.owners.append(Owner("os-tid", owner, word))
    return row


def _open(scene: Scene) -> Optional[LockReader]:
    return managed_reader(scene, "lock", read_locks)


KIND = LockKind("lock", AREA, _open, 62)
