"""All chains of awaiting methods of the heap, equal ones merged and counted.

Each task that waits is put below the one that goes on after it (links.py), so that chains grow from what they end at up to the
method that nothing awaits. Chains are equal when their methods, the awaits these stand at and the kind of their end are.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from typing import Dict, List, Mapping, Optional, Tuple

from dumpwalk import limits
from dumpwalk.coreclr.tasks.chain import EndKind
from dumpwalk.coreclr.tasks.ends import end_of
from dumpwalk.coreclr.tasks.heap import Kind, TaskTable
from dumpwalk.coreclr.tasks.links import Links
from dumpwalk.coreclr.tasks.machine import RUNNING, Machines, is_box, number_of_await
from dumpwalk.coreclr.tasks.machine_columns import UNKNOWN_STATE
from dumpwalk.coreclr.tasks.task import Tasks, method_of, short_type
from dumpwalk.dataclass import dataclass

Label = Tuple[str, Optional[int]]
"""A method and the number of its await; a promise's name and None."""
Words = Tuple[EndKind, str]
_THREAD = "\0thread"
"""Stands before the first method of a chain that a thread blocks on."""
_SOURCE_AS_TASK = "ValueTaskSourceAsTask"
_PROMISES = {
    "WhenAllPromise": "Task.WhenAll",
    "WhenAllPromise`1": "Task.WhenAll",
    "UnwrapPromise`1": "Task.Unwrap",
    "TwoTaskWhenAnyPromise`1": "Task.WhenAny",
    "CompleteOnInvokePromise`1": "Task.WhenAny",
    "CompleteOnInvokePromise": "Task.WhenAny",
    "CancellationPromise`1": "Task.WaitAsync",
    "ContinuationTaskFromTask": "Task.ContinueWith",
    "ContinuationResultTaskFromTask`1": "Task.ContinueWith",
    "ContinuationTaskFromResultTask`1": "Task.ContinueWith",
    "ContinuationResultTaskFromResultTask`2": "Task.ContinueWith",
    _SOURCE_AS_TASK: "ValueTask.AsTask",
}


@dataclass(frozen=True)
class Group:
    """Chains that are equal."""

    labels: Tuple[Label, ...]
    """From the method that nothing awaits to the one at the end."""
    end: EndKind
    what: str
    count: int
    example: int
    """The address of the task or method at the end of one of them."""
    thread: Optional[int] = None
    """The index of the thread that blocks on the first method's task."""


@dataclass(frozen=True)
class Census:
    groups: Tuple[Group, ...]
    """The most frequent first."""
    chains: int
    """All of them, those of groups that are left out too."""
    alone: int
    """Promises that no method awaits."""
    tasks: int
    """Tasks that were found to wait."""
    searched: int
    """Bytes of memory."""
    lacks: Tuple[str, ...] = ()


class _Counting:
    def __init__(
        self,
        tasks: Tasks,
        machines: Machines,
        table: TaskTable,
        queued: Mapping[int, object],
        waited: Mapping[int, int],
    ) -> None:
        self._tasks, self._table, self._queued = tasks, table, queued
        self._links = Links(tasks, machines, table)
        rows = {self._links.index.get(address): thread for address, thread in waited.items()}
        self._waited = {row: thread for row, thread in rows.items() if row is not None}
        self._labels: Dict[Label, int] = {}
        self._label_of: Dict[int, int] = {}
        """Of kind and state packed into one number."""
        self._numbers: Dict[int, int] = {}
        self.made: List[Tuple[int, Label]] = []
        """Of each path the one that it lengthens (-1: none), and its last label."""
        self._path_of = array("i", b"\xff" * (4 * len(table)))
        self._several: Dict[int, Counter] = {}
        """Paths of a row that several go on after, or that is below one."""
        self._promises: Dict[int, Words] = {}
        self._looked = 0

    def _label(self, row: int) -> int:
        """The number of a row's label."""
        table = self._table
        key = table.kind_of[row] << 16 | table.states[row] & 0xFFFF
        known = self._label_of.get(key)
        if known is None:
            label = self._named(table.kinds[table.kind_of[row]], table.states[row])
            known = self._label_of[key] = self._labels.setdefault(label, len(self._labels))
        return known

    @staticmethod
    def _named(kind: Kind, state: int) -> Label:
        if kind.plan is None:
            return _PROMISES.get(re.split(r"[+.]", kind.definition)[-1], short_type(kind.definition)), None
        return method_of(kind.plan.name), number_of_await(kind.plan, state) if state > UNKNOWN_STATE else None

    def _step(self, before: int, row: int) -> int:
        if before < 0 and row in self._waited:
            label = (_THREAD, self._waited[row])
            before = self._lengthened(-1, self._labels.setdefault(label, len(self._labels)))
        return self._lengthened(before, self._label(row))

    def _lengthened(self, before: int, label: int) -> int:
        key = before + 1 << 32 | label
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.made)
            self.made.append((before, next(text for text, known in self._labels.items() if known == label)))
        return number

    def follow(self) -> None:
        """Gives each row its path from the top.

        From the last row down: the task that a method awaits was mostly made before that method's own.
        """
        path_of, above, forks, waited = self._path_of, self._links.above, self._links.forks, self._waited
        kind_of, states = self._table.kind_of, self._table.states
        steps: Dict[int, int] = {}
        """Path by the one above, kind and state."""
        for row in range(len(path_of) - 1, -1, -1):
            if path_of[row] != -1:
                continue
            up = above[row]
            before = path_of[up] if up >= 0 else -1
            if (before < 0 and (up >= 0 or row in waited)) or row in forks:
                self._climb(row)
                continue
            key = (before + 1) << 32 | kind_of[row] << 16 | states[row] & 0xFFFF
            number = steps.get(key)
            if number is None:
                number = steps[key] = self._step(before, row)
            path_of[row] = number

    def _climb(self, row: int) -> None:
        """The same where what is above has no path yet."""
        path_of, above, forks = self._path_of, self._links.above, self._links.forks
        climb: List[int] = []
        at = row
        while at >= 0 and path_of[at] == -1 and at not in forks and len(climb) < limits.CHAIN_DEEP:
            path_of[at] = -2  # on the way: met again, it closes a circle
            climb.append(at)
            at = above[at]
        before = path_of[at] if at >= 0 else -1
        if before >= 0 or at < 0 or before == -2:
            before = max(before, -1)
            for one in reversed(climb):
                path_of[one] = before = self._step(before, one)
            return
        for one in climb:
            path_of[one] = -1
        self._follow_forks(row)

    def _follow_forks(self, row: int) -> None:
        """The same where several go on after the row, or after one above it."""
        path_of, above, forks, several = self._path_of, self._links.above, self._links.forks, self._several
        work = [row]
        while work:
            one = work[-1]
            ups = forks.get(one) or ([above[one]] if above[one] >= 0 else [])
            open_one = next((up for up in ups if path_of[up] == -1), None)
            if open_one is not None and len(work) < limits.CHAIN_DEEP:
                path_of[one] = -2
                work.append(open_one)
                continue
            work.pop()
            counted = self._counted(ups)
            if sum(counted.values()) <= 1:
                path_of[one] = self._step(next(iter(counted), -1), one)
            else:
                path_of[one] = -3
                several[one] = Counter({self._step(path, one): n for path, n in counted.items()})

    def _counted(self, ups: List[int]) -> Counter:
        counted: Counter = Counter()
        for up in ups:
            if self._path_of[up] >= 0:
                counted[self._path_of[up]] += 1
            else:
                counted.update(self._several.get(up, {}))
        return counted

    def ends(self) -> Tuple[Counter, Dict[Tuple[int, EndKind, str], int], int]:
        """Counts by (path of the last method, end, in words), an example of each, and promises that nothing awaits."""
        counts: Counter = Counter()
        examples: Dict[Tuple[int, EndKind, str], int] = {}
        alone, kinds, kind_of, addresses = 0, self._table.kinds, self._table.kind_of, self._table.addresses
        above, forks, path_of = self._links.above, self._links.forks, self._path_of
        plain = [not kind.definition.endswith(_SOURCE_AS_TASK) for kind in kinds]
        alike: Dict[int, List[int]] = {}
        """How many promises of one kind below one path there are, and one of them: all of these end alike."""
        for hit in re.finditer(b"\1", bytes(self._links.ended)):
            row = hit.start()
            number, up = kind_of[row], above[row]
            if kinds[number].plan is not None:
                end, paths = self._end_of_method(row), self._counted([row])
            elif up < 0:
                alone += 1
                continue
            elif plain[number] and path_of[up] >= 0 and row not in forks:
                same = alike.get(path_of[up] << 16 | number)
                if same is None:
                    alike[path_of[up] << 16 | number] = [1, row]
                else:
                    same[0] += 1
                continue
            else:
                end, paths = self._promise(row), self._counted(forks.get(row) or [up])
            if end is not None:
                for path, count in paths.items():
                    counts[(path, *end)] += count
                    examples.setdefault((path, *end), addresses[row])
        for key, (count, row) in alike.items():
            told = (key >> 16, *self._promise(row))
            counts[told] += count
            examples.setdefault(told, addresses[row])
        return counts, examples, alone

    def _promise(self, row: int) -> Words:
        """What a promise is; those of one kind are the same, but for what stands for something else."""
        number, address = self._table.kind_of[row], self._table.addresses[row]
        if self._table.kinds[number].definition.endswith(_SOURCE_AS_TASK):
            return self._words(address)
        if number not in self._promises:
            self._promises[number] = self._words(address)
        return self._promises[number]

    def _words(self, obj: int) -> Words:
        definition = self._tasks.view.definition_of(obj)
        if isinstance(definition, str) and is_box(definition):
            return "unread", "an awaiting method that could not be read"
        source = self._tasks.reference(obj, "_source")
        end = end_of(self._tasks, source or obj)
        return end.kind, "a timer" if end.kind == "timer" else end.what

    def _end_of_method(self, row: int) -> Optional[Words]:
        """What a method awaits that is no task of the table. None for what is left over from before a collection."""
        address, state = self._table.addresses[row], self._table.states[row]
        if address in self._queued:
            return "queued", "the thread pool's queue"
        value = self._table.awaited[row]
        if state == RUNNING or value in self._links.index or state <= UNKNOWN_STATE:
            return None
        if not value:
            return "custom", "something that is no object"
        self._looked += 1
        if self._looked > limits.CONTINUATION_LISTS:
            return "unread", "something that was not looked at"
        task = self._tasks.state(value)
        if task is None:
            return self._words(value)
        if task.done or address not in self._tasks.followers(value):
            return None
        if value in self._queued:
            return "queued", "the thread pool's queue"
        return ("running", task.what) if task.invoked else ("unstarted", task.what)


def take(
    tasks: Tasks, machines: Machines, table: TaskTable, queued: Mapping[int, object], waited: Mapping[int, int]
) -> Census:
    """Counts all chains. `queued`: addresses that stand in the pool's queues; `waited`: of tasks that threads block on, with
    the thread's index. Linear in the tasks."""
    counting = _Counting(tasks, machines, table, queued, waited)
    counting.follow()
    counts, examples, alone = counting.ends()
    groups = []
    for key, count in counts.items():
        path, end, what = key
        labels: List[Label] = []
        while path >= 0 and len(labels) <= limits.CHAIN_DEEP:
            path, label = counting.made[path]
            labels.append(label)
        thread = labels.pop()[1] if labels and labels[-1][0] == _THREAD else None
        groups.append(Group(tuple(reversed(labels)), end, what, count, examples[key], thread))
    groups.sort(
        key=lambda g: (-g.count, [(name, number or 0) for name, number in g.labels], g.end, g.what, g.thread or 0)
    )
    lacks = list(table.lacks)
    if len(groups) > limits.CHAIN_GROUPS:
        lacks.append(f"{len(groups) - limits.CHAIN_GROUPS:,} kinds of chains are not listed")
    kept = tuple(groups[: limits.CHAIN_GROUPS])
    return Census(kept, sum(counts.values()), alone, len(table), table.searched, tuple(lacks))
