"""Managed locks that a thread holds although nobody waits for them: those whose object its own stack names.

A `lock` statement keeps its object on the stack until it is left, for the exit in its finally; so does a Lock's scope. The
object's own word says that this thread has it: the thin lock of its header (src/coreclr/vm/syncblk.h), `_owningThreadId` of a
Lock, the writer or upgradeable reader of a reader-writer lock, this thread's own count of read locks. Monitors in sync blocks
are found by their table, whoever holds them (monitor.py). A lock that was taken in a method that has returned, and whose object
no frame needs any more, is not found this way: a thin lock then by a search of memory for its header, where somebody asks for it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import for_search, read_u32, read_u64, read_words
from dumpwalk.core.process import Thread
from dumpwalk.core.thread_stack import stack_end
from dumpwalk.core.word_search import WordSearch, find_long_words
from dumpwalk.coreclr.locks import lock, reader_writer_lock, rwlock_slim
from dumpwalk.coreclr.locks.model import LockObject, ManagedLock
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.types import header
from dumpwalk.coreclr.words import Unknown
from dumpwalk.locks.state import Owner, Sighting, Word

_READERS = {module.TYPE: module.held_row for module in (lock, rwlock_slim, reader_writer_lock)}
_NO_INSTANCES = ("System.ValueType", "System.Enum", "System.Array", "System.Delegate")
"""Abstract: what looks like an object of such a type is a pointer to it."""
_BEHIND = 2
_SMALLEST, _LARGEST = 0x18, 0x100
"""BaseSize of an object with a field, and more than that of any lock: ReaderWriterLockSlim has 0x60."""


def held_by(around: Surroundings, thread: Thread) -> List[Tuple[ManagedLock, Sighting]]:
    """(lock, where its object is named) of the locks that a thread holds, each once. Never raises on damaged memory."""
    record = around.record(thread)
    if record is None or not record.managed_id:
        return []
    found: Dict[int, Tuple[ManagedLock, Sighting]] = {}
    for sighting in _words(around, thread):
        if sighting.value in found or sighting.value % 8 or sighting.value >> 47:
            continue
        row = _thin(around, sighting.value, record.managed_id) or _other(around, sighting, thread)
        if row is not None:
            found[sighting.value] = (row, sighting)
    return list(found.values())


def thin_locks(
    around: Surroundings, threads: Sequence[Thread], most_bytes: int
) -> Tuple[List[ManagedLock], WordSearch]:
    """Objects anywhere in memory whose header says that one of the threads holds their thin lock. The number in a header is given
    to a new thread when its owner ends, so nothing of it is proved. Never raises on damaged memory."""
    ids = {record.managed_id for t in threads for record in [around.record(t)] if record and record.managed_id}
    headers = {word: owner for owner in ids for word in header.thin_locks(owner, around.runtime.major)}
    words = find_long_words(
        around.process.memory, [word << 32 for word in headers], 4, most_bytes, limits.HELD_WORDS
    )  # the four bytes before a header are padding
    rows = []
    stacks = _stack_regions(around)
    for address, word in words.hits:
        row = _thin(around, address + 8, headers[word >> 32]) if not _inside(stacks, address) else None
        if row is not None and _among_objects(around, address + 8):
            row.owners[:] = [replace(owner, grade="corroborated") for owner in row.owners]
            rows.append(row)
    return rows, words


def _stack_regions(around: Surroundings) -> List[Tuple[int, int]]:
    """Where the threads' stack pointers are: no object lies there, but pointers to method tables do."""
    sp = around.process.arch.sp
    pointers = sorted(t.registers.get(sp, 0) for t in around.process.threads)
    found = []
    for region in around.process.regions:
        at = bisect_left(pointers, region.start)
        if at < len(pointers) and pointers[at] < region.end:
            found.append((region.start, region.end))
    return sorted(found)


def _inside(regions: List[Tuple[int, int]], address: int) -> bool:
    at = bisect_right(regions, (address, 1 << 64)) - 1
    return at >= 0 and address < regions[at][1]


def _among_objects(around: Surroundings, address: int) -> bool:
    """Objects lie one behind another, and behind this one are two more. Native memory may hold a pointer to a method table,
    but nothing of its size behind it. The last objects before the place where a thread allocates are not told apart from that."""
    if around.type_at(address) in _NO_INSTANCES:
        return False
    at = address
    for _ in range(_BEHIND):
        size = around.view.unrecorded.size_of(at)
        if isinstance(size, Unknown) or size < 0x18:
            return False
        at += size + 7 & ~7
        padding = read_u32(for_search(around.process.memory), at - 8)
        if padding != 0 or not around.view.unrecorded.is_object(at):
            return False
    return True


def _words(around: Surroundings, thread: Thread) -> Iterator[Sighting]:
    """Values of its registers and of its living stack, each once, nearest first."""
    seen = set()
    for name in around.process.arch.general:
        value = thread.registers.get(name, 0)
        if value > 0xFFFF and value not in seen:
            seen.add(value)
            yield Sighting(value, register=name)
    at = thread.registers.get(around.process.arch.sp, 0)
    end = stack_end(around.process, thread)
    while at and at % 8 == 0 and at < end:
        size = min(end, (at | 0xFFF) + 1) - at
        words = read_words(around.process.memory, at, size // 8)
        if words is None:
            return
        for index, value in enumerate(words):
            if value > 0xFFFF and value not in seen:
                seen.add(value)
                yield Sighting(value, address=at + 8 * index)
        at += size


def _thin(around: Surroundings, address: int, managed_id: int) -> Optional[ManagedLock]:
    tried = for_search(around.process.memory)  # most values are no object's address
    word = read_u32(tried, address - 4)
    if not word or read_u32(tried, address - 8):
        return None  # the padding before the header is zero
    told = header.decode(word, around.runtime.major)
    if told.owner != managed_id or around.type_at(address) is None:
        return None
    around.process.memory.read(address - 8, 8)
    name = around.view.type_of(address)
    row = ManagedLock(
        "monitor",
        "thin-lock",
        address,
        LockObject(address, None if isinstance(name, Unknown) else name),
        True,
        counted=0,
        recursion=told.recursion + 1,
    )
    own = Word("thin lock in the object's header", address - 4, word, 4, told.phrase())
    row.words.append(own)
    row.owners.append(Owner("managed-id", managed_id, own))
    return row


def _may_be_lock(around: Surroundings, address: int) -> bool:
    """Does the word there lead to what can be the method table of a small object? Its BaseSize (+4 in every version, methodtable.h)
    is asked before its type is: nine of ten values on a stack are no objects."""
    tried = for_search(around.process.memory)
    table = read_u64(tried, address)
    size = read_u32(tried, (table & ~7) + 4) if table and 0x10000 < table < 1 << 47 else None
    return size is not None and size % 8 == 0 and _SMALLEST <= size <= _LARGEST


def _other(around: Surroundings, sighting: Sighting, thread: Thread) -> Optional[ManagedLock]:
    if not _may_be_lock(around, sighting.value):
        return None
    name = around.type_at(sighting.value, *_READERS)
    read = _READERS.get(name) if name is not None else None
    row = read(around, sighting) if read is not None else None
    return row if row is not None and row.locked and around.owns(thread, row) else None
