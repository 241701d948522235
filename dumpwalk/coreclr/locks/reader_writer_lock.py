"""System.Threading.ReaderWriterLock: the writer by managed thread id, readers by the threads' own lists.

_state: readers in bits 0 to 9, bit 12 (0x1000) a writer, waiting readers in bits 13 to 22, waiting writers in bits 23 to 31;
_writerID: managed thread id, -1 for none. Who reads is only in each thread's list t_lockEntryHead (ThreadLocalLockEntry:
_lockID, _readerLevel, _next). A waiter sleeps on an event, which tells nothing of the owner. Source:
src/libraries/System.Threading/src/System/Threading/ReaderWriterLock.cs; the same in 3.1, 8 and 9.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from dumpwalk.coreclr.locks.model import LockObject, ManagedLock
from dumpwalk.coreclr.locks.reader import AREA, managed_reader
from dumpwalk.coreclr.locks.rwlock_slim import ReaderLists, add_readers, locks_waited_for
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import Owner, Sighting, Word

TYPE = "System.Threading.ReaderWriterLock"
_READERS, _WRITER = 0x3FF, 0x1000
_WAITING_READERS, _WAITING_WRITERS = 13, 23
"""Shifts; ten and nine bits."""
_METHODS = (("AcquireReaderLock", "read"), ("AcquireWriterLock", "write"), ("UpgradeToWriterLock", "write"))
_EVENTS = {"_writerEvent": "write", "_readerEvent": "read"}
_LISTS = ReaderLists(TYPE + "+ThreadLocalLockEntry", "t_lockEntryHead", "_lockID", "_readerLevel", "_next")


def read_old_rwlocks(around: Surroundings) -> List[ManagedLock]:
    """Locks that blocked threads name on their stacks."""
    return locks_waited_for(around, TYPE, _METHODS, _row, _EVENTS)


def held_row(around: Surroundings, sighting: Sighting) -> Optional[ManagedLock]:
    """The lock that a register or stack word names; None where its own words do not agree."""
    found = _row(around, sighting)
    return found[0] if found is not None else None


def _row(around: Surroundings, sighting: Sighting) -> Optional[Tuple[ManagedLock, Dict[str, int]]]:
    address = sighting.value
    found = {name: around.view.field(address, name) for name in ("_state", "_writerID", "_lockID")}
    values = {name: getattr(field, "value", None) for name, field in found.items()}
    if any(value is None for value in values.values()):
        return None
    state, writer_id = int(values["_state"] or 0) & 0xFFFFFFFF, int(values["_writerID"] or 0)
    writer, readers = bool(state & _WRITER), state & _READERS
    waiting = {"read": state >> _WAITING_READERS & 0x3FF, "write": state >> _WAITING_WRITERS}
    counted = sum(waiting.values())
    if writer == (writer_id == -1) or counted > len(around.process.threads):
        return None  # the words that say whether there is a writer do not agree, or more wait than there are threads
    holder = LockObject(address, TYPE)
    row = ManagedLock("rwlock", "reader-writer-lock", address, holder, bool(writer or readers), counted=counted)
    reading = f"{'a writer' if writer else f'{readers} readers'}, {counted} waiting"
    row.words.append(Word("_state of the lock", found["_state"].address, state, 4, reading))  # type: ignore[union-attr]
    if writer:
        word = Word("_writerID of the lock", found["_writerID"].address, writer_id)  # type: ignore[union-attr]
        row.owners.append(Owner("managed-id", writer_id, word))
    elif readers:
        add_readers(around, row, int(values["_lockID"] or 0), readers, _LISTS)
    return row, waiting


def _open(scene: Scene) -> Optional[LockReader]:
    return managed_reader(scene, "rwlock", read_old_rwlocks)


KIND = LockKind("reader-writer-lock", AREA, _open, 63)
