"""System.Threading.Mutex: owner and waiters are the kernel object's, exact without the managed object's handle.

An abandoned mutex is handed to the next waiter, so one with a live owner is no orphan; see pal_objects.py for the layout.
"""

from __future__ import annotations

from typing import Dict, List, Optional

from dumpwalk.coreclr.locks.known_methods import rule_of
from dumpwalk.coreclr.locks.model import LockObject, LockWaiter, ManagedLock
from dumpwalk.coreclr.locks.pal_objects import PalWaits, pal_waits
from dumpwalk.coreclr.locks.reader import AREA, managed_reader
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import Owner, Word

_TYPE = "System.Threading.Mutex"
_MUTEXES = (2, 3)


def read_mutexes(around: Surroundings, pal: PalWaits) -> List[ManagedLock]:
    """Mutexes that some thread waits for. The address is that of the kernel object's data (CSynchData)."""
    rows: Dict[int, ManagedLock] = {}
    for wait in around.blocked():
        if wait.thread.index in around.resolved or wait.call.kind not in ("futex", "psynch-condition", "timed-wait"):
            continue
        rule = rule_of([frame.method for frame in around.managed_frames(wait.thread)])
        if rule is not None and rule.kind != "event":
            continue  # a Mutex is waited for by WaitHandle's methods
        found = pal.of(wait)
        if found is None or found.type not in _MUTEXES or found.until == "any":
            continue  # whichever of several comes first lets it go on: no one of them keeps it
        row = rows.get(found.synch)
        if row is None:
            row = ManagedLock("mutex", "pal-mutex", found.synch, None, bool(found.owner_tid), counted=found.waiters)
            row.words.append(Word("waiting threads of the mutex", found.synch + 0x10, found.waiters))
            if found.owner_tid:
                word = Word("owner's thread id of the mutex", found.synch + 0x38, found.owner_tid)
                row.owners.append(Owner("os-tid", found.owner_tid, word))
            rows[found.synch] = row
        managed = next((s for s, _ in around.objects(wait.thread, _TYPE)), None)
        if managed is not None and row.object is None:
            row.object = LockObject(managed.value, _TYPE)
        how = f"its node 0x{found.node:x} is in the waiting list of the mutex; found from {found.seen.phrase()}"
        row.waiters.append(LockWaiter(wait.thread, "proved", how, found.seen))
    return list(rows.values())


def _open(scene: Scene) -> Optional[LockReader]:
    return managed_reader(scene, "mutex", lambda around: read_mutexes(around, pal_waits(around)))


KIND = LockKind("mutex", AREA, _open, 61)
