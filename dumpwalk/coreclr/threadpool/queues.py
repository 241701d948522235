"""What is queued in the thread pool: the global queues, and one queue of each worker.

Sources: System.Private.CoreLib/src/System/Threading/ThreadPoolWorkQueue.cs (workItems, highPriorityWorkItems,
lowPriorityWorkItems, _assignableWorkItemQueues, WorkStealingQueue), System/Collections/Concurrent/ConcurrentQueueSegment.cs
(a slot holds an item when its sequence number is one above its position): the same in 8, 9 and 10.
"""

from __future__ import annotations

import struct
from dataclasses import field
from typing import Iterator, List, Optional, Set, Tuple

from dumpwalk import limits
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.types.objects import Array, Value
from dumpwalk.coreclr.words import NotRead
from dumpwalk.dataclass import dataclass

QUEUE = "System.Threading.ThreadPoolWorkQueue"
LISTS = QUEUE + "+WorkStealingQueueList"
GLOBAL = (("highPriorityWorkItems", "high-priority"), ("workItems", "global"), ("lowPriorityWorkItems", "low-priority"))


@dataclass(frozen=True)
class QueuedItem:
    """One work item that no worker has taken yet."""

    queue: str
    """global, high-priority, low-priority, assigned (shared by some workers), or local (of one worker)."""
    position: int
    """From 0: how many are before it in that queue."""
    address: int
    """The object: a task, or a callback with its state."""
    slot: int
    """The address of the word that names it."""


@dataclass
class Queues:
    """All that is queued, and what could not be read."""

    items: List[QueuedItem] = field(default_factory=list)
    lacks: List[str] = field(default_factory=list)
    address: int = 0

    def room(self) -> int:
        return limits.QUEUED_ITEMS - len(self.items)


def read_queues(view: ManagedView) -> Queues:
    """Every queue of the pool. What is missing is told; nothing raises."""
    found = Queues()
    static = view.static("System.Threading.ThreadPool", "s_workQueue")
    if not isinstance(static, Value) or not isinstance(static.value, int) or not static.value:
        found.lacks.append(f"ThreadPool.s_workQueue: {getattr(static, 'why', 'it is null')}")
        return found
    found.address = static.value
    for name, words in GLOBAL:
        queue = view.field(found.address, name)
        if isinstance(queue, Value) and isinstance(queue.value, int) and queue.value:
            _concurrent(view, found, queue.value, words)
        elif not isinstance(queue, Value) and not getattr(queue, "absent", False):
            found.lacks.append(f"{name}: {getattr(queue, 'why', 'not read')}")
    for queue_address in _elements(view, _reference(view, found.address, "_assignableWorkItemQueues")):
        _concurrent(view, found, queue_address, "assigned")
    lists = view.static(LISTS, "s_queues")
    if not isinstance(lists, Value):
        lists = view.static(LISTS, "_queues")
    if isinstance(lists, Value) and isinstance(lists.value, int):
        for queue_address in _elements(view, lists.value):
            _stealing(view, found, queue_address)
    else:
        found.lacks.append(f"the workers' own queues: {getattr(lists, 'why', 'not read')}")
    return found


def _reference(view: ManagedView, obj: int, name: str) -> Optional[int]:
    value = getattr(view.field(obj, name), "value", None)
    return int(value) if isinstance(value, int) else None


def _elements(view: ManagedView, array: Optional[int]) -> Iterator[int]:
    found = view.array(array) if array else None
    for value in view.items(found, limits.LOCAL_QUEUES) if isinstance(found, Array) else []:
        if isinstance(value, Value) and isinstance(value.value, int) and value.value:
            yield value.value


def _concurrent(view: ManagedView, found: Queues, queue: int, words: str) -> None:
    """A ConcurrentQueue: its segments from the head's on."""
    segment = _reference(view, queue, "_head")
    seen: Set[int] = set()
    position = 0
    while segment and segment not in seen and len(seen) < limits.QUEUE_SEGMENTS:
        seen.add(segment)
        array = _reference(view, segment, "_slots")
        slots = view.array(array) if array else None
        if not isinstance(slots, Array):
            found.lacks.append(f"the slots of the {words} queue's segment 0x{segment:x} could not be read")
            return
        for address, item in _filled(view, found, segment, slots):
            found.items.append(QueuedItem(words, position, item, address))
            position += 1
        segment = _reference(view, segment, "_nextSegment")
        if segment is None:
            found.lacks.append(f"the {words} queue has a segment that could not be read")
    if segment:
        found.lacks.append(f"the {words} queue has more segments than are followed, or a circle of them")


def _filled(view: ManagedView, found: Queues, segment: int, slots: Array) -> List[Tuple[int, int]]:
    """(slot, item) in the order of the queue."""
    size, length = slots.element_size, min(slots.length, found.room())
    if size != 16 or slots.length != (_reference(view, segment, "_slotsMask") or 0) + 1:
        found.lacks.append(f"the segment 0x{segment:x} of a queue has no slots of the known form")
        return []
    if length < slots.length:
        found.lacks.append(f"the queues hold more than the {limits.QUEUED_ITEMS:,} work items that are read")
    head = view.field(segment, "_headAndTail")
    first = view.struct_field(head.method_table, head.address, "Head") if isinstance(head, Value) else None
    start = int(first.value) & 0xFFFFFFFF if isinstance(first, Value) and isinstance(first.value, int) else 0
    try:
        data = view.words.take(slots.data, size * length, "a queue's slots") if length else b""
    except NotRead:
        found.lacks.append(f"slots of the segment 0x{segment:x} of a queue are not in the dump")
        return []
    rows = []
    for index, (item, sequence, _) in enumerate(struct.iter_unpack("<QII", data)):
        at = (sequence - 1) & 0xFFFFFFFF
        if item and at & (slots.length - 1) == index and (at - start) & 0x80000000 == 0:
            rows.append(((at - start) & 0xFFFFFFFF, slots.data + size * index, item))
    return [(slot, item) for _, slot, item in sorted(rows)]


def _stealing(view: ManagedView, found: Queues, queue: int) -> None:
    """A worker's own queue: an array, a mask, and the positions of head and tail."""
    array = _reference(view, queue, "m_array")
    slots = view.array(array) if array else None
    head, tail, mask = (_reference(view, queue, name) for name in ("m_headIndex", "m_tailIndex", "m_mask"))
    if not isinstance(slots, Array) or head is None or tail is None or mask is None or mask + 1 != slots.length:
        found.lacks.append(f"a worker's own queue at 0x{queue:x} could not be read")
        return
    count = (tail - head) & 0xFFFFFFFF
    if count > slots.length:
        if count < 0x80000000:
            found.lacks.append(f"a worker's own queue at 0x{queue:x} counts {count:,} items in {slots.length:,} slots")
        return
    for position in range(min(count, found.room())):
        slot = slots.data + 8 * ((head + position) & mask)
        try:
            item = view.words.pointer(slot, "a queue's slot")
        except NotRead as error:
            found.lacks.append(error.why)
            return
        if item:
            found.items.append(QueuedItem("local", position, item, slot))
