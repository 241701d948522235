"""What every reader of managed locks asks: the words on a thread's stack, its managed methods, who a thread is.

A word on a stack is a candidate and never a fact: the reader that uses it has the lock's own memory confirm it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from dumpwalk import limits
from dumpwalk.core.memory import for_search, read_words
from dumpwalk.core.process import Frame, Process, Thread
from dumpwalk.coreclr.code.method_desc import MethodName
from dumpwalk.coreclr.locks.known_methods import own_method
from dumpwalk.coreclr.locks.model import LockObject, ManagedLock
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.managed_threads import ManagedThread, ManagedThreads
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.coreclr.words import Unknown, Words
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import Sighting, Word
from dumpwalk.locks.waits import Wait
from dumpwalk.unwinding.stack import LIMIT, LOOP, NOT_CAPTURED

if TYPE_CHECKING:
    from dumpwalk.coreclr.locks.pal_objects import PalWaits
    from dumpwalk.coreclr.tasks.waits import TaskWait

_PAGE = 0x1000
_ASSEMBLIES = (".dll", ".exe")


@dataclass(frozen=True)
class ManagedFrame:
    """One managed frame with its method."""

    frame: Frame
    method: MethodName


@dataclass
class Surroundings:
    """The process as the readers of managed locks see it."""

    process: Process
    runtime: RuntimeInfo
    view: ManagedView
    managed: ManagedThreads
    waits: Sequence[Wait]
    resolved: Dict[int, str] = field(default_factory=dict)
    """Thread index to the kind of lock that its wait was found to be for."""
    pulses: Dict[int, Tuple[LockObject, Sighting]] = field(default_factory=dict)
    """Threads in the queue of a sync block for a pulse: the object, and the link on their stack."""
    task_waits: Dict[int, TaskWait] = field(default_factory=dict)
    """Thread index to the task that it blocks on."""
    read_locks: Dict[Tuple[Union[str, int], int], List[Tuple[int, Word]]] = field(default_factory=dict)
    """What each thread reads under, by the type that keeps it and the runtime's Thread: once for all locks (rwlock_slim.py)."""
    kernel_waits: Optional[PalWaits] = None
    """Made by pal_objects.pal_waits, for all who ask."""
    lacking: List[str] = field(default_factory=list)
    """Sentences on what could not be read."""
    _frames: Dict[int, List[ManagedFrame]] = field(default_factory=dict)
    _stacks: Dict[int, List[Sighting]] = field(default_factory=dict)
    _types: Dict[int, Optional[str]] = field(default_factory=dict)
    _pointers: Optional[List[Tuple[int, int, Thread]]] = None
    _records: Optional[Dict[int, ManagedThread]] = None

    @property
    def words(self) -> Words:
        return self.view.words

    # Threads

    def record(self, thread: Thread) -> Optional[ManagedThread]:
        """The runtime's Thread of a thread of the dump."""
        if self._records is None:
            self._records = self.managed.by_tid()
        tid = self.process.own_tid(thread)
        if tid is None or thread.tid_source == "synthetic":
            return None
        return self._records.get(tid & 0xFFFFFFFF)

    def thread_of(self, record: Optional[ManagedThread]) -> Optional[Thread]:
        """The thread of the dump that a Thread of the runtime is."""
        if record is None or record.os_tid is None:
            return None
        return self.process.thread_by_tid(record.os_tid)

    def by_managed_id(self, number: int) -> List[ManagedThread]:
        return [t for t in self.managed.threads if t.managed_id == number]

    def thread_of_stack(self, address: int) -> Optional[Thread]:
        """The thread on whose stack an address lies: the one with the nearest stack pointer below it."""
        if self._pointers is None:
            sp = self.process.arch.sp
            self._pointers = sorted((t.registers.get(sp, 0), t.index, t) for t in self.process.threads)
        position = bisect_right(self._pointers, (address, 1 << 62)) - 1
        if position < 0:
            return None
        pointer, _, thread = self._pointers[position]
        return thread if pointer and address - pointer < limits.STACK_BYTES else None

    def thread_above(self, address: int) -> Optional[Thread]:
        """The thread with the nearest stack pointer above an address: on its stack the address may be one no longer in use."""
        self.thread_of_stack(address)
        pointers = self._pointers or []
        position = bisect_right(pointers, (address, 1 << 62))
        return pointers[position][2] if position < len(pointers) else None

    def owns(self, thread: Thread, row: ManagedLock) -> bool:
        """Whether the lock's memory names this thread as one of its owners."""
        record = self.record(thread)
        numbers = {
            "os-tid": self.process.own_tid(thread),
            "managed-id": record.managed_id if record else None,
            "thread-address": record.address if record else None,
        }
        return any(numbers[owner.numbering] == owner.number for owner in row.owners)

    def blocked(self) -> Iterator[Wait]:
        """Waits of threads that run managed code and are in a system call, or may be."""
        for wait in self.waits:
            if wait.call.inside is not False and self.record(wait.thread) is not None:
                yield wait

    def unnamed_code(self, thread: Thread) -> bool:
        """It runs managed code of which no frame could be named: then only the lock's own count can tell."""
        return not self.managed_frames(thread) and any(frame.managed for frame in thread.frames())

    def only_native(self, thread: Thread) -> bool:
        """No frame of it is managed code, not one that could not be named either; and the stack was not cut short."""
        if thread.stack_end in (NOT_CAPTURED, LOOP, LIMIT):
            return False
        return not self.managed_frames(thread) and not any(
            frame.managed or frame.module is None or frame.module.name.lower().endswith(_ASSEMBLIES)
            for frame in thread.frames()
        )

    # Stacks

    def sightings(self, thread: Thread) -> List[Sighting]:
        """Frame 0's registers, then the words of the stack from its pointer up, bounded by limits.STACK_SCAN_BYTES."""
        known = self._stacks.get(thread.index)
        if known is None:
            known = [
                Sighting(value, register=name)
                for name in self.process.arch.general
                for value in [thread.registers.get(name, 0)]
                if value > 0xFFFF
            ]
            known.extend(self._stack_words(thread))
            self._stacks[thread.index] = known
        return known

    def _stack_words(self, thread: Thread) -> Iterator[Sighting]:
        sp = thread.registers.get(self.process.arch.sp, 0)
        if not sp or sp % 8:
            return
        end = sp + limits.STACK_SCAN_BYTES
        at = sp
        while at < end:
            size = min(end, (at | (_PAGE - 1)) + 1) - at
            words = read_words(self.process.memory, at, size // 8)
            if words is None:
                return
            for address, value in zip(range(at, end, 8), words):
                if value > 0xFFFF:
                    yield Sighting(value, None, address)
            at += size

    def native_part(self, thread: Thread, most: int = 0x2000) -> List[Sighting]:
        """Registers and words of the frames below the first managed one: what a wait inside the runtime leaves."""
        sp = thread.registers.get(self.process.arch.sp, 0)
        end = sp + most
        return [s for s in self.sightings(thread) if s.address is None or s.address < end]

    # Code and types

    def managed_frames(self, thread: Thread) -> List[ManagedFrame]:
        """Managed frames, innermost first."""
        known = self._frames.get(thread.index)
        if known is None:
            known = []
            for frame in thread.frames():
                if frame.noted:
                    continue
                if frame.module is not None and not frame.module.name.lower().endswith(_ASSEMBLIES):
                    continue
                found = self.view.method_at(frame.pc - (1 if frame.index else 0))
                if isinstance(found, MethodName):
                    known.append(ManagedFrame(frame, found))
            self._frames[thread.index] = known
        return known

    def own_method(self, thread: Thread) -> Optional[str]:
        """The innermost method of the program's own code, not of the framework."""
        own = own_method([f.method for f in self.managed_frames(thread)])
        return own.full if own is not None else None

    def type_at(self, address: int, *types: str) -> Optional[str]:
        """The definition's name of the object at an address, None where it is no object or cannot be named. Most addresses
        that are asked about are of no interest: what is read of those that are none of `types` is not recorded."""
        if address % 8 or not 0x10000 < address < 1 << 47:
            return None
        data = for_search(self.process.memory).read(address, 8)
        if data is None:
            return None
        table = int.from_bytes(data, "little") & ~7
        if table not in self._types:
            found = self.view.unrecorded.definition_of(address) if 0x10000 < table < 1 << 47 else None
            self._types[table] = None if found is None or isinstance(found, Unknown) else found
        name = self._types[table]
        if name is not None and (not types or name in types):
            self.process.memory.read(address, 8)
            self.view.definition_of(address)
        return name

    def objects(self, thread: Thread, *types: str) -> Iterator[Tuple[Sighting, str]]:
        """Objects of these types that a thread's registers and stack name, each once, nearest first."""
        seen = set()
        for sighting in self.sightings(thread):
            if sighting.value in seen:
                continue
            name = self.type_at(sighting.value, *types)
            if name is not None and (not types or name in types):
                seen.add(sighting.value)
                yield sighting, name
