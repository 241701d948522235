"""Which task of the heap goes on after which: the table's rows as a graph, built once for all of them.

A step is believed where two words agree: the task names the method as its continuation, and the method's awaiter names the
task. What the collector has moved or freed shows itself there, and is left out.
"""

from __future__ import annotations

import re
import struct
from array import array
from itertools import repeat
from typing import Dict, List, Optional

from dumpwalk import limits
from dumpwalk.coreclr.tasks.heap import TaskTable
from dumpwalk.coreclr.tasks.machine import Machines
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.words import NotRead

NOBODY, OTHER = -1, -2
"""In place of a row: nothing goes on after it; something does that is no task of the table."""
_LIST = "System.Collections.Generic.List`1"
_ARRAY_DATA = 16


class Links:
    """`above[row]` goes on after a row, `forks[row]` where several do; `ended[row]` is 1 where nothing is below."""

    def __init__(self, tasks: Tasks, machines: Machines, table: TaskTable) -> None:
        self._tasks, self._machines, self.table = tasks, machines, table
        self.index: Dict[int, int] = dict(zip(table.addresses, range(len(table))))
        self.above = array("i", map(self.index.get, table.continuations, repeat(OTHER)))
        self.forks: Dict[int, List[int]] = {}
        self.ended = bytearray(b"\1") * len(table)
        self._slowly = 0
        self._machine_rows: Optional[Dict[int, int]] = None
        self._link()
        self._join_iterators()

    def _link(self) -> None:
        table, above, ended = self.table, self.above, self.ended
        awaited, kinds, kind_of = table.awaited, table.kinds, table.kind_of
        for row, (up, address) in enumerate(zip(above, table.addresses)):
            if up >= 0:
                if awaited[up] == address or kinds[kind_of[up]].plan is None:
                    ended[up] = 0
                else:
                    above[row] = NOBODY  # moved or freed: the method awaits something else
            elif table.continuations[row]:
                above[row] = self._other(row, table.continuations[row])
            else:
                above[row] = NOBODY

    def _other(self, row: int, continuation: int) -> int:
        """The continuation is a list of several, or a delegate or wrapper of one."""
        name = self._tasks.view.definition_of(continuation)
        if not isinstance(name, str):
            return OTHER
        obj = self.table.addresses[row]
        items = self._items(continuation) if name.startswith(_LIST) else [continuation]
        found: Dict[int, None] = {}
        for item in items:
            up = self.index.get(item)
            if up is None and self._slowly < limits.CONTINUATION_LISTS:
                self._slowly += 1
                follower = self._tasks.follower(item)
                up = self.index.get(follower) if follower is not None else None
            if up is not None and self._agrees(up, obj):
                found[up] = None
        for up in found:
            self.ended[up] = 0
        if len(found) > 1:
            self.forks[row] = list(found)
        return next(iter(found), OTHER)

    def _items(self, continuations: int) -> List[int]:
        tasks = self._tasks
        items, size = tasks.reference(continuations, "_items"), tasks.number(continuations, "_size")
        count = min(size or 0, limits.HEAP_TASKS)
        if not items or count <= 0:
            return []
        try:
            data = tasks.view.words.take(items + _ARRAY_DATA, 8 * count, "a list of continuations")
        except NotRead:
            return []
        return [value for value in struct.unpack(f"<{count}Q", data) if value]

    def _agrees(self, up: int, obj: int) -> bool:
        table = self.table
        if table.kinds[table.kind_of[up]].plan is None or table.awaited[up] == obj:
            return True
        return obj in self._machines.awaited(table.addresses[up])

    def _join_iterators(self) -> None:
        """Methods that await an asynchronous iterator are above that iterator's own box."""
        table = self.table
        for hit in re.finditer(b"\1", bytes(self.ended)):
            row = hit.start()
            value = table.awaited[row]
            if value and value not in self.index:
                below = self._rows_by_machine().get(value)
                if below is not None and self.above[below] == NOBODY:
                    self.above[below], self.ended[row] = row, 0

    def _rows_by_machine(self) -> Dict[int, int]:
        if self._machine_rows is None:
            self._machine_rows = {}
            table = self.table
            for row, number in enumerate(table.kind_of):
                plan = table.kinds[number].plan
                if plan is not None and plan.inside is not None:
                    try:
                        machine = self._tasks.view.words.u64(table.addresses[row] + plan.inside)
                    except NotRead:
                        continue
                    self._machine_rows[machine] = row
        return self._machine_rows
