"""Monitor (`lock`): the lock inside an object's sync block, who owns it, who waits to enter, who waits for a pulse.

SyncBlock begins with its AwareLock (src/coreclr/vm/syncblk.h; read in 3.1.23, 8.0.4, 8.0.31, 9.0.5, 9.0.20, 10.0.12):
+0 u32 state (bit 0 held, bit 5 a waiter was signalled, 0x40 for each waiter), +4 u32 recursion (1 = held once), +8 the
owner: Thread* up to 9, u32 managed id in 10. From 8 on +0x10 holds the owner's OS id, +0x18 transient users, +0x1C the own
index, +0x20 the event, +0x30 the tick at which the oldest starving waiter began; up to 6 the index is at +0x14 and the event
at +0x18. A contended lock is always in a sync block, so thin locks have no waiters.

A waiter is found by the sync block's address on its stack, confirmed by the object's address or the event's handle there,
and by the block's own count. Threads in the block's queue for a pulse are no waiters of the lock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.grade import Grade
from dumpwalk.core.memory import read_u32, read_u64
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.model import LockObject, LockWaiter, ManagedLock
from dumpwalk.coreclr.locks.reader import AREA, managed_reader
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.locks.sync_table import SyncEntry, read_sync_table
from dumpwalk.coreclr.words import Unknown
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import Owner, Sighting, Word

_HELD, _WAITER = 1, 0x40
_OWNER, _OS_ID = 8, 0x10
_LATE = 0x1C
"""Own index's offset from 8 on, which goes with the fields that 8 added."""
_STARVING = 0x30
_NOBODY = (0, 0xFFFFFFFF, (1 << 64) - 1)
_QUEUE_WORDS = range(0x20, 0x58, 8)
_LINK_BACK = 0x40
"""Bytes before a link of the pulse queue that hold its sync block's address (WaitEventLink, -0x20 in 10.0.12)."""
_NATIVE_BYTES = 0x2000


def read_monitors(around: Surroundings) -> List[ManagedLock]:
    """Monitors that are held or wanted. The threads that wait for a pulse are noted in `around.pulses`."""
    table = read_sync_table(around)
    queues: Dict[int, Set[int]] = {}
    for entry in table.entries:
        for thread, sighting in _queue(around, entry):
            queues.setdefault(entry.block, set()).add(thread.index)
            around.pulses[thread.index] = (_object(around, entry), sighting)
    pairs = [(entry, _row(around, entry)) for entry in table.entries]
    used = [(entry, row) for entry, row in pairs if row is not None]
    _attach(around, [(e, r) for e, r in used if r.counted], queues)
    if table.status != "complete" and (table.address is not None or table.lacking):
        around.lacking.append(table.why)
    return [row for _, row in used]


def _object(around: Surroundings, entry: SyncEntry) -> LockObject:
    name = around.view.type_of(entry.object)
    return LockObject(entry.object, None if isinstance(name, Unknown) else name)


def _row(around: Surroundings, entry: SyncEntry) -> Optional[ManagedLock]:
    memory = around.process.memory
    state, recursion = read_u32(memory, entry.block), read_u32(memory, entry.block + 4)
    if state is None or recursion is None:
        return None
    held, waiters = bool(state & _HELD), state // _WAITER
    if not held and not waiters:
        return None
    row = ManagedLock("monitor", "sync-block", entry.object, _object(around, entry), held, counted=waiters)
    row.recursion = recursion if held else 0
    reading = f"{'held' if held else 'free'}, {waiters} waiting to enter"
    row.words.append(Word("lock state of the sync block", entry.block, state, 4, reading))
    own_at = entry.block + entry.own_index_at
    own = read_u32(memory, own_at) or 0
    row.words.append(Word("own number of the sync block", own_at, own, 4, f"{entry.number}, as in the object's header"))
    if held:
        owner = _owner(around, entry)
        if owner is not None:
            row.owners.append(owner)
        else:
            row.owners_unknown = "its owner word names no thread of the runtime's list"
    if entry.own_index_at == _LATE:
        row.starving_since = read_u32(memory, entry.block + _STARVING) or None
    return row


def _owner(around: Surroundings, entry: SyncEntry) -> Optional[Owner]:
    memory = around.process.memory
    at = entry.block + _OWNER
    pointer, number = read_u64(memory, at), read_u32(memory, at)
    if pointer is None or number is None:
        return None
    os_id = read_u64(memory, entry.block + _OS_ID) if entry.own_index_at == _LATE else None
    os_id = os_id if os_id and not os_id >> 32 else None
    os_word = Word("owner's OS thread id of the sync block", entry.block + _OS_ID, os_id or 0, 8)
    if pointer in _NOBODY or number in _NOBODY:
        word = Word("owner of the sync block", at, number, 4, "the thread that held it was collected")
        return Owner("managed-id", number, word)
    if (around.runtime.major or 0) >= 10:
        record = next(iter(around.by_managed_id(number)), None)
        later = record is not None and record.os_tid is not None and record.os_tid & 0xFFFFFFFF != os_id
        if os_id is not None and later:  # the id was given to a later thread; this one took the lock
            return Owner("os-tid", os_id, os_word, grade="corroborated")
        if 0 < number < 1 << 26:
            return Owner("managed-id", number, Word("owner (managed thread id) of the sync block", at, number))
        return None
    record = around.managed.by_address(pointer)
    if record is not None:
        tid = f"tid {record.os_tid}" if record.os_tid is not None else "which has ended"
        word = Word("owner (Thread*) of the sync block", at, pointer, 8, f"managed thread {record.managed_id}, {tid}")
        return Owner("thread-address", pointer, word)
    if os_id is not None and not pointer % 8:  # its Thread was collected, or is not in a list that was cut
        return Owner("os-tid", os_id, os_word, grade="corroborated")
    return None


def _queue(around: Surroundings, entry: SyncEntry) -> List[Tuple[Thread, Sighting]]:
    """Threads in the block's queue for a pulse, by the links on their stacks."""
    memory = around.process.memory
    for offset in _QUEUE_WORDS:
        link = read_u64(memory, entry.block + offset)
        if not link or link % 8 or not _leads_back(around, link, entry.block):
            continue
        found: List[Tuple[Thread, Sighting]] = []
        seen: Set[int] = set()
        while link and link not in seen and len(seen) < limits.WAIT_QUEUE and _leads_back(around, link, entry.block):
            seen.add(link)
            thread = around.thread_of_stack(link)
            if thread is not None:
                found.append((thread, Sighting(entry.block, address=link)))
            link = read_u64(memory, link) or 0
        return found
    return []


def _leads_back(around: Surroundings, link: int, block: int) -> bool:
    data = around.process.memory.read(link - _LINK_BACK, _LINK_BACK)
    return data is not None and any(
        int.from_bytes(data[at : at + 8], "little") == block for at in range(0, _LINK_BACK, 8)
    )


def _attach(around: Surroundings, wanted: List[Tuple[SyncEntry, ManagedLock]], queues: Dict[int, Set[int]]) -> None:
    """Give each blocked thread to the one block that its stack names."""
    blocks = {entry.block: (entry, row) for entry, row in wanted}
    if not blocks:
        return
    for wait in around.blocked():
        if wait.call.kind not in ("futex", "psynch-condition", "timed-wait", "ulock"):
            continue
        found = _seen(around, wait.thread, blocks, queues)
        if found is not None:
            row, sighting, second = found
            where = f"{sighting.phrase()}, the sync block of {label(row)}"
            how = where + (f"; {second}" if second else "")
            grade: Grade = "proved" if second else "corroborated"
            row.waiters.append(LockWaiter(wait.thread, grade, how, sighting))
    for _, row in wanted:
        _compare_with_count(row)


def _compare_with_count(row: ManagedLock) -> None:
    """More found than counted: some of the words are left over from earlier waits, the weaker ones go."""
    counted = row.counted or 0
    if len(row.waiters) > counted:
        ranked = sorted(row.waiters, key=lambda w: (w.grade != "proved", w.timed, w.thread.index))
        kept = {w.thread.index for w in ranked[:counted]}
        row.waiters = [replace(w, grade="corroborated") for w in row.waiters if w.thread.index in kept]
    elif len(row.waiters) < counted:
        row.note = f"its own count says {counted} waiting, {len(row.waiters)} were found on stacks"


def label(row: ManagedLock) -> str:
    """`Bank.Journal at 0x7f...`."""
    name = row.object.type if row.object is not None and row.object.type else "object"
    return f"{name} at 0x{row.address:x}"


def _seen(
    around: Surroundings,
    thread: Thread,
    blocks: Dict[int, Tuple[SyncEntry, ManagedLock]],
    queues: Dict[int, Set[int]],
) -> Optional[Tuple[ManagedLock, Sighting, str]]:
    sightings = around.native_part(thread, _NATIVE_BYTES)
    for sighting in sightings:
        pair = blocks.get(sighting.value)
        if pair is None or thread.index in queues.get(sighting.value, ()):
            continue
        entry, row = pair
        if around.owns(thread, row):
            continue  # it holds this one: a word left by its own Enter
        event = read_u64(around.process.memory, entry.block + entry.own_index_at + 4)
        handles = [s for s in sightings if s.address is not None and event and s.value == event < 1 << 32]
        objects = [s for s in sightings if s.value == row.address]
        if handles:
            return row, sighting, f"{handles[0].phrase()}, the handle of the lock's event"
        return row, sighting, f"{objects[0].phrase()}, the object" if objects else ""
    return None


def _open(scene: Scene) -> Optional[LockReader]:
    return managed_reader(scene, "monitor", read_monitors)


KIND = LockKind("monitor", AREA, _open, 60)
