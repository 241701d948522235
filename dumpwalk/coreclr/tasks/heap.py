"""Every task of the heap that is not done and waits to be completed: found by the form of its flags, in one pass.

Such a task (a promise: an async method's, WhenAll's, a TaskCompletionSource's, a delay's) has in m_stateFlags the bit
WAITINGFORACTIVATION and none of the bits that say done. That byte is rare where objects lie, so the pass looks at one byte
of eight and then has the object's type confirm it: no list of types, no walk of objects, no knowledge of the heap's layout.
What the collector has moved away or freed may still look like a task; who relies on one has a second word agree (census.py).
Sources: Task.cs (TASK_STATE_*, InternalTaskOptions), the same in 3.1 to 10.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from dataclasses import field
from functools import partial
from itertools import repeat
from typing import Dict, Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, filled_runs, for_search
from dumpwalk.core.word_sieve import BytePlane
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.tasks.machine import MachinePlan, Machines
from dumpwalk.coreclr.tasks.machine_columns import UNKNOWN_STATE, MachineColumns, is_address, small
from dumpwalk.coreclr.tasks.task import TASK, Tasks
from dumpwalk.coreclr.words import NotRead
from dumpwalk.dataclass import dataclass

_WAITING = BytePlane(7, [b for b in range(0x80) if b & 0x0B == 0x02])
"""The highest byte of the flags: WAITINGFORACTIVATION, perhaps marks of 0x74, neither RAN_TO_COMPLETION nor what is unused."""
_DONE = 0x1600000
_PROMISE = 0x600
"""InternalTaskOptions: ContinuationTask, PromiseTask."""
_CHUNK = 1 << 20
_MARGIN = 1 << 12
_WORD = struct.Struct("<Q")
_MARKS = 7
_HIGHEST = 1 << 47
_NONE, _UNSEEN = -1, -2
"""In place of the number of a kind: of what is no task, and of what was not looked at yet."""
_FIELDS = ("m_stateFlags", "m_continuationObject")
_LIST = "System.Collections.Generic.List`1"


@dataclass(frozen=True)
class Kind:
    """A type of task that was met."""

    table: int
    definition: str
    name: str
    plan: Optional[MachinePlan]
    """Of a box."""


@dataclass
class TaskTable:
    """Tasks in order of their addresses, a column for each thing known of all of them."""

    kinds: List[Kind] = field(default_factory=list)
    addresses: array = field(default_factory=lambda: array("Q"))
    continuations: array = field(default_factory=lambda: array("Q"))
    awaited: array = field(default_factory=lambda: array("Q"))
    """What a box's awaiter names first, 0 for none and for tasks that are no boxes."""
    kind_of: array = field(default_factory=lambda: array("H"))
    states: array = field(default_factory=lambda: array("h"))
    searched: int = 0
    """Bytes that were looked through."""
    lacks: List[str] = field(default_factory=list)
    _lists: Optional[List[int]] = None
    _column: Optional[bytes] = None

    def __len__(self) -> int:
        return len(self.addresses)

    def find(self, address: int) -> Optional[int]:
        """The row of a task."""
        at = bisect_left(self.addresses, address)
        return at if at < len(self.addresses) and self.addresses[at] == address else None

    def told_by(self, continuation: int, most: int) -> List[int]:
        """Rows of the tasks whose one continuation is this object."""
        if self._column is None:
            self._column = self.continuations.tobytes()
        found: List[int] = []
        needle, at = _WORD.pack(continuation), -1
        while len(found) < most:
            at = self._column.find(needle, at + 1)
            if at < 0:
                return found
            if at % 8 == 0:
                found.append(at // 8)
        return found

    def with_lists(self, tasks: Tasks) -> List[int]:
        """Rows of the tasks that have several continuations, up to a bound."""
        if self._lists is None:
            self._lists = []
            for row, value in enumerate(self.continuations[: limits.CONTINUATION_LISTS]):
                if value and self.find(value) is None:
                    name = tasks.view.definition_of(value)
                    if isinstance(name, str) and name.startswith(_LIST):
                        self._lists.append(row)
        return self._lists


def scan_heap(memory: Memory, view: ManagedView, machines: Machines) -> TaskTable:
    """One pass over the writable memory that was captured. What it could not look at is in `lacks`."""
    table = TaskTable()
    task = view.find_type(TASK)
    offsets = [view.field_offset(task, name) for name in _FIELDS] if isinstance(task, int) else []
    if not all(isinstance(o, int) for o in offsets) or len(offsets) != len(_FIELDS):
        table.lacks.append(f"the tasks of the heap: {getattr(task, 'why', 'the fields of Task are not known')}")
        return table
    flags, continuation = (int(o) for o in offsets if isinstance(o, int))
    if flags % 8 != 4 or not 0 < flags < 256 or not 0 < continuation < 256:
        table.lacks.append("the tasks of the heap: Task has its flags at an offset that is not known")
        return table
    scan = _Scan(view, machines, table, flags, continuation)
    for start, end in writable_runs(memory):
        stop = min(end, start + limits.HEAP_BYTES - table.searched)
        if stop > start and len(table) < limits.HEAP_TASKS:
            scan.run(memory, start, stop)
            table.searched += stop - start
        if stop < end or len(table) >= limits.HEAP_TASKS:
            full = len(table) >= limits.HEAP_TASKS
            most = f"{limits.HEAP_TASKS:,} tasks" if full else f"{limits.HEAP_BYTES >> 30} GiB of memory"
            table.lacks.append(f"the heap was searched for tasks up to the limit of {most}")
            break
    return table


def writable_runs(memory: Memory) -> Iterator[Tuple[int, int]]:
    """Captured memory that can hold objects, holes left out; starts are 8-aligned, neighbours are one run."""
    last: Optional[Tuple[int, int]] = None
    for segment in memory.segments():
        if not segment.writable:
            continue
        stop = segment.start + min(segment.file_size, segment.end - segment.start)
        for start, end in filled_runs(memory, segment.start + 7 & ~7, stop):
            if last is not None and last[1] == start:
                last = (last[0], end)
                continue
            if last is not None:
                yield last
            last = (start, end)
    if last is not None:
        yield last


def chunks(memory: Memory, start: int, end: int, lead: int, margin: int) -> Iterator[Tuple[int, bytes, int, int]]:
    """(address of the bytes, bytes, first, last): the part first..last is new, what is around it may be needed."""
    source = for_search(memory)
    at = start
    while at < end:
        stop = min(at + _CHUNK, end)
        low, high = max(start, at - lead), min(end, stop + margin)
        data = source.read(low, high - low)
        if data is not None:
            yield low, data, at - low, stop - low
        at = stop


class _Scan:
    def __init__(self, view: ManagedView, machines: Machines, table: TaskTable, flags: int, continuation: int) -> None:
        self._view, self._machines, self._table = view, machines, table
        self._flags, self._continuation = flags, continuation
        self._known: Dict[int, int] = {}
        """Method table to the kind's number, _NONE for what is no task."""
        self._columns = MachineColumns()

    def run(self, memory: Memory, start: int, end: int) -> None:
        """A column of a piece of memory at a time, and not one task after the other: a million of them are few steps each."""
        table, kind_of = self._table, self._known.get
        shift, continuation = self._flags - 4, self._continuation
        promise, done = _PROMISE << 32, _DONE << 32
        for base, data, first, last in chunks(memory, start, end, shift, _MARGIN):
            bare = memoryview(data)[: len(data) & ~7]
            words, room = bare.cast("Q"), len(bare) - 8 - continuation
            found = [
                at - shift
                for at in _WAITING.hits(data, first, min(last, len(bare)))
                if (word := words[at >> 3]) & promise and not word & done and 0 <= at - shift <= room
            ]
            method_tables = [words[at >> 3] for at in found]
            kinds = list(map(kind_of, method_tables, repeat(_UNSEEN)))
            if _UNSEEN in kinds:
                for at, method_table in zip(found, method_tables):
                    if method_table not in self._known:
                        self._known[method_table] = self._kind(method_table & ~_MARKS, base + at)
                kinds = list(map(kind_of, method_tables, repeat(_UNSEEN)))
            if _NONE in kinds:
                found = [at for at, kind in zip(found, kinds) if kind >= 0]
                kinds = [kind for kind in kinds if kind >= 0]
            states, awaited = self._columns.read(bare, found, kinds, partial(self._apart, base))
            table.addresses.extend([base + at for at in found])
            table.continuations.extend([words[at + continuation >> 3] for at in found])
            table.kind_of.extend(kinds)
            table.states.extend(states)
            table.awaited.extend(awaited)
            if len(table) >= limits.HEAP_TASKS:
                return

    def _apart(self, base: int, plan: MachinePlan, at: int) -> Tuple[int, int]:
        """The state of a machine, and what it awaits first, that is an object of its own or reaches beyond the bytes at hand."""
        words, obj = self._view.words, base + at
        try:
            machine = obj if plan.inside is None else words.u64(obj + plan.inside)
            state = words.i32(machine + plan.state)
            named = (words.u64(machine + offset) for offset in plan.awaiters)
            return small(state), next((n for n in named if is_address(n)), 0)
        except NotRead:
            return UNKNOWN_STATE, 0

    def _kind(self, method_table: int, obj: int) -> int:
        view, table = self._view, self._table
        if not 0x10000 < method_table < _HIGHEST or len(table.kinds) >= limits.TASK_TYPES:
            return _NONE
        if view.is_a(method_table, TASK) is not True:
            return _NONE
        definition, name = view.definition_of(obj), view.type_name(method_table)
        if not isinstance(definition, str) or not isinstance(name, str):
            return _NONE
        plan = self._machines.plan(method_table, obj)
        table.kinds.append(Kind(method_table, definition, name, plan))
        self._columns.add(plan)
        return len(table.kinds) - 1
