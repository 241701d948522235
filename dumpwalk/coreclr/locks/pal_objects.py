"""Kernel objects of the PAL (Linux, macOS; up to 10): which object a thread waits for, and who owns a mutex.

Every blocked thread is in the waiting list of the object, from memory alone. Its CPalThread lies on its stack; that leads to
its WaitingThreadsListNode: next +0, thread id u32 +0x18, process id u32 +0x1C, CSynchData* +0x30. CSynchData: head +0, tail
+8, count u32 +0x10, type u32 +0x24, signal count u32 +0x2C, ownership count u32 +0x30, owner's pid +0x34 and tid +0x38,
abandoned u8 +0x50. Source: src/coreclr/pal/src/synchmgr/synchmanager.hpp (CSynchData, WaitingThreadsListNode),
pal/src/include/pal/corunix.hpp (PalObjectTypeId); read in 3.1.23, 8.0.4 and 9.0.5. Where the node pointer stands in a
CPalThread depends on the version, so it is found by what it leads to, and tried first where it was found before.

A thread may wait for several objects, until one of them (WaitHandle.WaitAny) or all of them (WaitAll) are signalled. The node
pointers stand in a row at the end of ThreadWaitInfo (pal/src/include/pal/synchobjects.hpp): wait type u32 (0 one object, 1 any,
2 all), 8 objects i32, 0x10 the CPalThread itself, 0x18 nodes.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Dict, Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, for_search, read_u64
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import Sighting
from dumpwalk.locks.waits import Wait

_THREAD_BYTES = 0x600
"""Of a CPalThread: its wait information ends before that in every version read."""
_PLACES = range(0x100, _THREAD_BYTES, 8)
_STACK_BYTES = 0x1000
_NODE_TID, _NODE_SYNCH, _SYNCH_BYTES = 0x18, 0x30, 0x58
_INFO_BYTES, _INFO_OBJECTS, _INFO_THREAD = 0x18, 8, 0x10
"""ThreadWaitInfo before its first node pointer."""
_MOST_OBJECTS = 64
"""MAXIMUM_WAIT_OBJECTS of the PAL."""
_ANY, _ALL = 1, 2
_MUTEXES = (2, 3)
TYPES = {0: "auto-reset-event", 1: "manual-reset-event", 2: "mutex", 3: "named-mutex", 4: "semaphore", 5: "file"}
THREAD = 9
_PROCESS_TYPES = {6: "file-mapping", 7: "socket", 8: "process", 9: "thread"}


@dataclass(frozen=True)
class PalWait:
    """A thread's place in the waiting list of one kernel object."""

    synch: int
    """Address of the object's CSynchData."""
    type: int
    waiters: int
    signals: int
    owner_pid: int
    owner_tid: int
    seen: Sighting
    """Where its CPalThread was found."""
    node: int
    until: str = "one"
    """one, any or all of `objects` must be signalled."""
    objects: int = 1
    """How many objects the thread waits for; this is one of them."""

    @property
    def type_name(self) -> str:
        return TYPES.get(self.type) or _PROCESS_TYPES.get(self.type) or f"object of type {self.type}"


def pal_waits(around: Surroundings) -> PalWaits:
    """The one of these surroundings."""
    if around.kernel_waits is None:
        around.kernel_waits = PalWaits(around)
    return around.kernel_waits


class PalWaits:
    """Looks the waits of threads up. Never raises on damaged memory."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._offsets: List[int] = []
        self._kept: Dict[int, Optional[PalWait]] = {}

    def of(self, wait: Wait) -> Optional[PalWait]:
        """The kernel object that a blocked thread waits for; None where none is found."""
        thread = wait.thread
        if thread.index not in self._kept:
            inside = wait.call.inside is not False and thread.tid is not None
            self._kept[thread.index] = self._find(thread) if inside else None
        return self._kept[thread.index]

    def pal_thread_with(self, thread: Thread, address: int) -> Optional[Sighting]:
        """Where the stack names the thread's own CPalThread, if that has this address in it."""
        tid = struct.pack("<I", (self._around.process.own_tid(thread) or 0) & 0xFFFFFFFF)
        for sighting, _ in self._candidates(for_search(self._around.process.memory), thread, tid):
            if 0 <= address - sighting.value < _THREAD_BYTES:
                self._around.process.memory.read(sighting.value, _THREAD_BYTES)
                return sighting
        return None

    def without_object(self, wait: Wait) -> Optional[Tuple[Sighting, int]]:
        """(where its CPalThread was seen, where its count of objects is) of a thread whose native wait is for none. Known where
        other threads show at which place of a CPalThread that is."""
        if wait.word is None or wait.call.inside is False or self.of(wait) is not None:
            return None
        own = self.pal_thread_with(wait.thread, wait.word)
        if own is None:
            return None
        for offset in self._offsets:
            info = own.value + offset - _INFO_BYTES
            data = self._around.process.memory.read(info, _INFO_BYTES)
            if data == bytes(_INFO_THREAD) + own.value.to_bytes(8, "little"):
                return own, info + _INFO_OBJECTS
        return None

    def _find(self, thread: Thread) -> Optional[PalWait]:
        memory = self._around.process.memory
        tried = for_search(memory)  # hundreds of words that are no pointers to a node
        tid = struct.pack("<I", (self._around.process.own_tid(thread) or 0) & 0xFFFFFFFF)
        candidates = list(self._candidates(tried, thread, tid))
        for offset in (*self._offsets, *_PLACES):  # the place that another thread showed, before all others
            for sighting, data in candidates:
                node = int.from_bytes(data[offset : offset + 8], "little")
                if self._at_node(tried, node, tid, sighting) is None:
                    continue
                memory.read(sighting.value, _THREAD_BYTES)
                if offset not in self._offsets:
                    self._offsets.insert(0, offset)
                return _of_several(self._nodes(memory, data, offset, tid, sighting))
        return None

    def _nodes(self, memory: Memory, data: bytes, offset: int, tid: bytes, sighting: Sighting) -> List[PalWait]:
        """All objects that the thread waits for, as far as their nodes can be read; the first one's is at `offset`."""
        nodes, until = [int.from_bytes(data[offset : offset + 8], "little")], "one"
        kind, objects, thread = struct.unpack_from("<I4xi4xQ", data, offset - _INFO_BYTES)
        if thread == sighting.value and 1 < objects <= _MOST_OBJECTS and kind in (_ANY, _ALL):
            more = memory.read(sighting.value + offset, 8 * objects)
            nodes = list(struct.unpack(f"<{objects}Q", more)) if more is not None else nodes * objects
            until = "any" if kind == _ANY else "all"
        found = [self._at_node(memory, node, tid, sighting) for node in nodes]
        return [replace(wait, until=until, objects=len(nodes)) for wait in found if wait is not None]

    def _candidates(self, memory: Memory, thread: Thread, tid: bytes) -> Iterator[Tuple[Sighting, bytes]]:
        """What may be its CPalThread: not on its own stack, and the thread's id is somewhere in it."""
        stack = thread.registers.get(self._around.process.arch.sp, 0)
        seen = set()
        for sighting in self._around.native_part(thread, _STACK_BYTES):
            address = sighting.value
            if address % 8 or address >> 47 or address in seen or 0 <= address - stack < limits.STACK_SCAN_BYTES:
                continue
            seen.add(address)
            data = memory.read(address, _THREAD_BYTES)
            if data is not None and tid in data:
                yield sighting, data

    def _at_node(self, memory: Memory, node: int, tid: bytes, sighting: Sighting) -> Optional[PalWait]:
        if node < 0x10000 or node % 8 or node >> 47:
            return None
        if memory.read(node + _NODE_TID, 4) != tid:
            return None
        synch = read_u64(memory, node + _NODE_SYNCH)
        data = memory.read(synch, _SYNCH_BYTES) if synch and not synch % 8 else None
        if data is None or synch is None:
            return None
        count, kind, signals = (struct.unpack_from("<I", data, at)[0] for at in (0x10, 0x24, 0x2C))
        owner_pid, owner_tid = struct.unpack_from("<II", data, 0x34)
        if not 0 < count <= limits.WAIT_QUEUE or kind > 16:
            return None
        if not _listed(memory, struct.unpack_from("<Q", data, 0)[0], node, count):
            return None
        return PalWait(synch, kind, count, signals, owner_pid, owner_tid, sighting, node)


def _of_several(waits: List[PalWait]) -> Optional[PalWait]:
    """The object that tells most. Who waits for all of several gets on when the last is signalled: a mutex that is owned will
    do. Who waits for any of them is kept by none of them alone, unless they are mutexes of one owner."""
    first = waits[0] if waits else None
    owned = [wait for wait in waits if wait.type in _MUTEXES and wait.owner_tid]
    if first is None or not owned or first.until == "one":
        return first
    if first.until == "all":
        return replace(owned[0], until="one")
    if len(owned) == first.objects and len({(wait.owner_pid, wait.owner_tid) for wait in owned}) == 1:
        return replace(owned[0], until="one")
    return next((wait for wait in waits if wait not in owned), first)


def _listed(memory: Memory, head: int, node: int, count: int) -> bool:
    """The object's own list leads to this thread's node."""
    at = head
    for _ in range(count):
        if at == node:
            return True
        at = read_u64(memory, at) or 0
    return False
