"""ReaderWriterLockSlim: the writer and the upgradeable reader by managed thread id, readers by the threads' own counts.

The lock object names its writer (_writeLockOwnerId) and its upgradeable reader (_upgradeLockOwnerId), -1 for none; _owners
has bit 31 for a writer, bit 30 for waiting writers, and the number of readers in the low 28 bits. Who the readers are is
only in the thread-static list t_rwc of each thread (ReaderWriterCount: lockID, readercount, next). Source:
System.Private.CoreLib/src/System/Threading/ReaderWriterLockSlim.cs; the same fields in 3.1, 8, 9 and 10.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

from dumpwalk.core.grade import Grade
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.model import LockObject, LockWaiter, ManagedLock
from dumpwalk.coreclr.locks.monitor import label
from dumpwalk.coreclr.locks.reader import AREA, managed_reader
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.managed_threads import ManagedThread
from dumpwalk.coreclr.words import Unknown
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import Owner, Sighting, Word

TYPE = "System.Threading.ReaderWriterLockSlim"
_WRITER, _WAITING_WRITERS, _READERS = 1 << 31, 1 << 30, (1 << 28) - 1
_COUNTS = {
    "read": "_numReadWaiters",
    "write": "_numWriteWaiters",
    "upgradeable read": "_numUpgradeWaiters",
    "upgrade": "_numWriteUpgradeWaiters",
}
_METHODS = (
    ("EnterUpgradeableRead", "upgradeable read"),
    ("EnterWrite", "write"),
    ("EnterRead", "read"),
)


class ReaderLists(NamedTuple):
    """Where each thread keeps what it reads under: a thread static, and the fields of the list that it begins."""

    type_name: str
    first: str
    lock_id: str
    level: str
    following: str


_EVENTS = {
    "_writeEvent": "write",
    "_readEvent": "read",
    "_upgradeEvent": "upgradeable read",
    "_waitUpgradeEvent": "upgrade",
}
"""The event that each waits for."""
_SOMEHOW = "?"
"""In a method of the lock whose name is not at hand."""
_LISTS = ReaderLists(TYPE, "t_rwc", "lockID", "readercount", "next")
_READER_LISTS = 256
"""Entries followed of one thread's list of reader-writer locks that it ever read under."""


def read_rwlocks(around: Surroundings) -> List[ManagedLock]:
    """Reader-writer locks that blocked threads name on their stacks."""
    return locks_waited_for(around, TYPE, _METHODS, _row, _EVENTS)


def locks_waited_for(
    around: Surroundings,
    type_name: str,
    methods: Sequence[Tuple[str, str]],
    row_of: Callable[[Surroundings, Sighting], Optional[Tuple[ManagedLock, Dict[str, int]]]],
    events: Mapping[str, str],
) -> List[ManagedLock]:
    """Locks of a type whose methods (part of the name, what it wants) are on blocked stacks; `row_of` gives a lock with its
    own counts of who waits for what, `events` the fields of the events that they wait for."""
    rows: Dict[int, Optional[ManagedLock]] = {}
    counts: Dict[int, Dict[str, int]] = {}
    asleep = [w.thread for w in around.blocked() if w.call.kind in ("futex", "psynch-condition", "timed-wait")]
    threads = [thread for thread in asleep if thread.index not in around.resolved]
    named = [(thread, _wants(around, thread, type_name, methods)) for thread in threads]
    unnamed = [(thread, None) for thread in threads if around.unnamed_code(thread)]
    for thread, asked in [*(pair for pair in named if pair[1] is not None), *unnamed]:
        for sighting, _ in around.objects(thread, type_name):
            if sighting.value not in rows:
                found = row_of(around, sighting)
                rows[sighting.value] = found[0] if found is not None else None
                counts[sighting.value] = found[1] if found is not None else {}
            row = rows[sighting.value]
            wants = asked
            if row is not None and asked == _SOMEHOW:
                wants = _only(counts[sighting.value]) or _by_event(around, thread, row, events)
            if row is None or not row.counted or (wants is None and len(row.waiters) >= row.counted):
                continue
            if _writes(around, thread, row) or (wants is not None and not _may_want(counts[sighting.value], wants)):
                continue  # another lock that its stack names: it has this one, or nobody waits for it in this way
            where = f"{sighting.phrase()}, {label(row)}"
            how = where + (f", below its own method ({wants})" if wants else "")
            grade: Grade = "proved" if wants else "corroborated"
            row.waiters.append(LockWaiter(thread, grade, how, sighting, wants or "enter"))
            break
    waited = [row for row in rows.values() if row is not None and row.waiters]
    for row in waited:
        if row.counted != len(row.waiters):
            row.note = f"its own counts say {row.counted} waiting, {len(row.waiters)} were found on stacks"
    return waited


def _wants(around: Surroundings, thread: Thread, type_name: str, methods: Sequence[Tuple[str, str]]) -> Optional[str]:
    for frame in around.managed_frames(thread)[:8]:
        if frame.method.type_name == type_name:
            if frame.method.by_token:
                return _SOMEHOW
            for part, wants in methods:
                if part in frame.method.name:
                    return wants
    return None


def _only(counts: Dict[str, int]) -> Optional[str]:
    """What all wait for who wait for the lock."""
    wanted = [wants for wants, count in counts.items() if count]
    return wanted[0] if len(wanted) == 1 else None


def _by_event(around: Surroundings, thread: Thread, row: ManagedLock, events: Mapping[str, str]) -> Optional[str]:
    """What it wants by the one of the lock's events that its stack names."""
    seen = {sighting.value for sighting in around.sightings(thread)}
    places = {wants: getattr(around.view.field(row.address, name), "value", None) for name, wants in events.items()}
    named = [wants for wants, event in places.items() if event and event in seen]
    return named[0] if len(named) == 1 else None


def _writes(around: Surroundings, thread: Thread, row: ManagedLock) -> bool:
    """It is the writer, who never waits for its own lock."""
    return around.owns(thread, row) and any(owner.holding == "exclusive" for owner in row.owners)


def _may_want(counts: Dict[str, int], wants: str) -> bool:
    """Somebody waits in this way. A writer that was an upgradeable reader has a count of its own."""
    return bool(counts.get(wants) or (wants == "write" and counts.get("upgrade")))


def held_row(around: Surroundings, sighting: Sighting) -> Optional[ManagedLock]:
    """The lock that a register or stack word names; None where its own words do not agree."""
    found = _row(around, sighting)
    return found[0] if found is not None else None


def _row(around: Surroundings, sighting: Sighting) -> Optional[Tuple[ManagedLock, Dict[str, int]]]:
    view, address = around.view, sighting.value
    names = ("_writeLockOwnerId", "_upgradeLockOwnerId", "_owners", "_lockID", *_COUNTS.values())
    found = {name: view.field(address, name) for name in names}
    values: Dict[str, int] = {}
    for name, field in found.items():
        value = getattr(field, "value", None)
        if value is None:
            return None
        values[name] = int(value)
    owners = values["_owners"] & 0xFFFFFFFF
    counted = sum(values[name] for name in _COUNTS.values())
    if not 0 <= counted <= len(around.process.threads):
        return None
    writer, readers = bool(owners & _WRITER), owners & _READERS
    if writer == (values["_writeLockOwnerId"] == -1):
        return None  # the two words that say whether there is a writer do not agree
    row = ManagedLock(
        "rwlock",
        "reader-writer-lock-slim",
        address,
        LockObject(address, TYPE),
        bool(writer or readers),
        counted=counted,
    )
    reading = "a writer" if writer else f"{readers} readers"
    if owners & _WAITING_WRITERS:
        reading += ", writers waiting"
    row.words.append(Word("_owners of the lock", found["_owners"].address, owners, 4, reading))  # type: ignore[union-attr]
    for name in ("_writeLockOwnerId", "_upgradeLockOwnerId"):
        if values[name] != -1:
            word = Word(f"{name} of the lock", found[name].address, values[name])  # type: ignore[union-attr]
            row.owners.append(
                Owner("managed-id", values[name], word, "exclusive" if "write" in name else "upgradeable")
            )
    if readers and not writer:
        add_readers(around, row, values["_lockID"], readers, _LISTS)
    return row, {wants: values[name] for wants, name in _COUNTS.items()}


def add_readers(around: Surroundings, row: ManagedLock, lock_id: int, readers: int, lists: ReaderLists) -> None:
    """The threads whose own list says that they read under this lock."""
    known = {owner.number for owner in row.owners}
    named = len(known)
    declaring: Union[str, int] = lists.type_name
    if row.object is not None and row.object.type == declaring:
        table = around.view.method_table_of(row.address)  # without metadata no type is found by its name
        declaring = declaring if isinstance(table, Unknown) else table
    for record in around.managed.threads:
        held = _read_count(around, record, lock_id, lists, declaring)
        if held is None or held[0] <= 0 or record.managed_id is None or record.managed_id in known:
            continue
        named += 1
        row.owners.append(Owner("managed-id", record.managed_id, held[1], "shared"))
    if named < readers:
        row.owners_unknown = f"{readers - named} of {readers} readers: the lock does not record who they are"


def _read_count(
    around: Surroundings, record: ManagedThread, lock_id: int, lists: ReaderLists, declaring: Union[str, int]
) -> Optional[Tuple[int, Word]]:
    """(read locks held, the word that says so) of one thread for one lock."""
    key = (declaring, record.address)
    if key not in around.read_locks:
        around.read_locks[key] = list(_read_locks(around, record, lists, declaring))
    return next(((word.value, word) for number, word in around.read_locks[key] if number == lock_id), None)


def _read_locks(
    around: Surroundings, record: ManagedThread, lists: ReaderLists, declaring: Union[str, int]
) -> Iterator[Tuple[int, Word]]:
    """(the lock's own number, the word that counts this thread's read locks) of every lock that the thread ever read under."""
    first = around.view.thread_static(declaring, lists.first, record.address)
    at = getattr(first, "value", None)
    seen: Set[int] = set()
    while at and at not in seen and len(seen) < _READER_LISTS:
        seen.add(at)
        number = getattr(around.view.field(at, lists.lock_id), "value", None)
        count = around.view.field(at, lists.level)
        if number is not None and getattr(count, "value", None) is not None:
            reading = f"read locks of managed thread {record.managed_id}"
            yield int(number), Word(reading, count.address, int(count.value))  # type: ignore[union-attr,arg-type]
        at = getattr(around.view.field(at, lists.following), "value", None)


def _open(scene: Scene) -> Optional[LockReader]:
    return managed_reader(scene, "rwlock", read_rwlocks)


KIND = LockKind("rwlock", AREA, _open, 63)
