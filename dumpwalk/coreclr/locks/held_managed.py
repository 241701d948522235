"""Managed locks that a thread holds although nobody waits for them: those whose object its own stack names.

A `lock` statement keeps its object on the stack until it is left, for the exit in its finally; so does a Lock's scope. The
object's own word says that this thread has it: the thin lock of its header (src/coreclr/vm/syncblk.h), `_owningThreadId` of a
Lock, the writer or upgradeable reader of a reader-writer lock, this thread's own count of read locks. Monitors in sync blocks
are found by their table, whoever holds them (monitor.py). A lock that was taken in a method that has returned, and whose object
no frame needs any more, is not found this way.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Tuple

from dumpwalk.core.memory import for_search, read_u32, read_u64, read_words
from dumpwalk.core.process import Thread
from dumpwalk.core.thread_stack import stack_end
from dumpwalk.coreclr.locks import lock, reader_writer_lock, rwlock_slim
from dumpwalk.coreclr.locks.model import LockObject, ManagedLock
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.types import header
from dumpwalk.coreclr.words import Unknown
from dumpwalk.locks.state import Owner, Sighting, Word

_READERS = {module.TYPE: module.held_row for module in (lock, rwlock_slim, reader_writer_lock)}
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
        recursion=told.recursion,
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
