"""Every task of the heap that is not done and waits to be completed: found by the form of its flags, in one pass.

Such a task (a promise: an async method's, WhenAll's, a TaskCompletionSource's, a delay's) has in m_stateFlags the bit
WAITINGFORACTIVATION and none of the bits that say done. That byte is rare where objects lie, so the pass looks at one byte
of eight and then has the object's type confirm it: no list of types, no walk of objects, no knowledge of the heap's layout.
What the collector has moved away or freed may still look like a task; who relies on one has a second word agree (census.py).
Sources: Task.cs (TASK_STATE_*, InternalTaskOptions), the same in 3.1 to 10.
"""

from __future__ import annotations

import re
import struct
from array import array
from bisect import bisect_left
from dataclasses import field
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, filled_runs, for_search
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.tasks.machine import MachinePlan, Machines
from dumpwalk.coreclr.tasks.task import TASK, Tasks
from dumpwalk.coreclr.words import NotRead
from dumpwalk.dataclass import dataclass

_WAITING = re.compile(bytes(b"[%s]" % bytes(b for b in range(0x80) if b & 0x0B == 0x02)))
"""The highest byte of the flags: WAITINGFORACTIVATION, perhaps marks of 0x74, neither RAN_TO_COMPLETION nor what is unused."""
_DONE = 0x1600000
_PROMISE = 0x600
"""InternalTaskOptions: ContinuationTask, PromiseTask."""
_CHUNK = 1 << 20
_MARGIN = 1 << 12
_WORD = struct.Struct("<Q")
_MARKS = 7
_HIGHEST = 1 << 47
UNKNOWN_STATE = -128
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
        """Method table to the kind's number, -1 for what is no task."""
        self._forms: List[_Form] = []

    def run(self, memory: Memory, start: int, end: int) -> None:
        table, known, forms = self._table, self._known, self._forms
        to_flags = self._flags
        add_address, add_continuation = table.addresses.append, table.continuations.append
        add_awaited, add_kind, add_state = table.awaited.append, table.kind_of.append, table.states.append
        lead, word = to_flags + 4 & ~7, _WORD.unpack_from
        for base, data, first, last in chunks(memory, start, end, lead, _MARGIN):
            for hit in _WAITING.finditer(data[7::8], first // 8, (last + 7) // 8):
                at = 8 * hit.start() + 4 - to_flags
                if at < 0:
                    continue
                flags = data[at + to_flags + 1] << 8 | data[at + to_flags + 2] << 16
                if not flags & _PROMISE or flags & _DONE:
                    continue
                (method_table,) = word(data, at)
                number = known.get(method_table)
                if number is None:
                    number = known[method_table] = self._kind(method_table & ~_MARKS, base + at)
                if number < 0:
                    continue
                read, size, state_at, awaiters = forms[number]
                if read is not None and at + size <= len(data):
                    values = read(data, at)
                    continuation, state, named = values[0], UNKNOWN_STATE, 0
                    if state_at:
                        state = values[state_at]
                        if not UNKNOWN_STATE < state < 0x7FFF:
                            state = UNKNOWN_STATE
                        for index in awaiters:
                            if values[index] and not values[index] & _MARKS and values[index] < _HIGHEST:
                                named = values[index]
                                break
                else:
                    (continuation,) = word(data, at + self._continuation)
                    plan = table.kinds[number].plan
                    state, named = self._apart(plan, base + at) if plan is not None else (UNKNOWN_STATE, 0)
                add_address(base + at)
                add_continuation(continuation)
                add_awaited(named)
                add_kind(number)
                add_state(state)

    def _apart(self, plan: MachinePlan, obj: int) -> Tuple[int, int]:
        """The same of a machine that is an object of its own, or reaches beyond the bytes at hand."""
        words = self._view.words
        try:
            at = obj if plan.inside is None else words.u64(obj + plan.inside)
            state = words.i32(at + plan.state)
            named = (words.u64(at + offset) for offset in plan.awaiters)
            return _small(state), next((n for n in named if n and n & _MARKS == 0 and n < _HIGHEST), 0)
        except NotRead:
            return UNKNOWN_STATE, 0

    def _kind(self, method_table: int, obj: int) -> int:
        view, table = self._view, self._table
        if not 0x10000 < method_table < _HIGHEST or len(table.kinds) >= limits.TASK_TYPES:
            return -1
        if view.is_a(method_table, TASK) is not True:
            return -1
        definition, name = view.definition_of(obj), view.type_name(method_table)
        if not isinstance(definition, str) or not isinstance(name, str):
            return -1
        plan = self._machines.plan(method_table, obj)
        table.kinds.append(Kind(method_table, definition, name, plan))
        self._forms.append(_form(plan, self._continuation))
        return len(table.kinds) - 1


_Form = Tuple[Optional[Callable[[bytes, int], Tuple[int, ...]]], int, int, Tuple[int, ...]]
"""How to read all that is wanted of an object at once: what reads it from bytes and a place (None where it lies apart), how many
bytes it takes, and which of its values are the machine's state (0: none) and awaiters; the first is the continuation."""


def _form(plan: Optional[MachinePlan], continuation: int) -> _Form:
    parts = [(continuation, "Q")]
    if plan is not None:
        if plan.inside is not None or plan.state <= continuation:
            return None, 0, 0, ()
        parts += sorted([(plan.state, "i"), *((offset, "Q") for offset in plan.awaiters)])
    text, at = "<", 0
    for offset, letter in parts:
        if offset < at:
            return None, 0, 0, ()  # parts that overlap are no machine's
        text += f"{offset - at}x{letter}"
        at = offset + (4 if letter == "i" else 8)
    letters = [letter for _, letter in parts]
    awaiters = tuple(i for i in range(1, len(letters)) if letters[i] == "Q")
    return struct.Struct(text).unpack_from, at, letters.index("i") if "i" in letters else 0, awaiters


def _small(state: Optional[int]) -> int:
    return state if state is not None and UNKNOWN_STATE < state < 0x7FFF else UNKNOWN_STATE
