"""One step down a chain: what a task or awaiting method waits for.

A method's awaiter names it, and what it names has to name the method as the one who goes on: two words of memory that
agree. Promises that combine tasks (WhenAll, WhenAny, Unwrap, ContinueWith) name them in a field, or are themselves what those
tasks go on to. Sources: Task.cs (WhenAllPromise, UnwrapPromise), TaskContinuation.cs (m_antecedent), TaskFactory.cs
(TwoTaskWhenAnyPromise, CompleteOnInvokePromise), ValueTask.cs (ValueTaskSourceAsTask), of 3.1 to 10.
"""

from __future__ import annotations

from typing import Callable, List, Mapping, Optional, Tuple, Union

from dumpwalk import limits
from dumpwalk.core.grade import Grade
from dumpwalk.core.names import plural
from dumpwalk.coreclr.tasks.chain import End, NodeKind
from dumpwalk.coreclr.tasks.ends import end_of
from dumpwalk.coreclr.tasks.heap import TaskTable
from dumpwalk.coreclr.tasks.machine import DONE, RUNNING, MachinePlan, Machines, is_box, number_of_await
from dumpwalk.coreclr.tasks.running import Running
from dumpwalk.coreclr.tasks.task import Tasks, method_of
from dumpwalk.coreclr.tasks.timers import timer_of
from dumpwalk.coreclr.threadpool.queues import QueuedItem
from dumpwalk.coreclr.types.objects import Value
from dumpwalk.coreclr.words import NotRead
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import Word

_WHEN_ALL, _UNWRAP = ("WhenAllPromise", "WhenAllPromise`1"), "UnwrapPromise`1"
_WHEN_ANY = ("TwoTaskWhenAnyPromise`1", "CompleteOnInvokePromise`1", "CompleteOnInvokePromise")
_CANCELLABLE = "CancellationPromise`1"
_AS_TASK = ("ValueTaskSourceAsTask",)
_MOST = limits.CHAIN_BRANCHES
_SOURCE_WORDS = 64
"""Words of a source of values in which the method that goes on is looked for."""


@dataclass(frozen=True)
class Below:
    """What an object waits for, which is not its end."""

    kind: NodeKind
    what: str
    await_number: Optional[int]
    addresses: Tuple[int, ...]
    grade: Grade
    how: str
    left_out: int = 0
    words: Tuple[Word, ...] = ()


class Awaited:
    """Steps of one process. `table` gives the tasks of the heap when one is asked for that no field names."""

    def __init__(
        self,
        tasks: Tasks,
        machines: Machines,
        table: Callable[[], TaskTable],
        queued: Mapping[int, QueuedItem],
        running: Mapping[int, Running],
    ) -> None:
        self.tasks, self.machines = tasks, machines
        self._table, self._queued, self._running = table, queued, running

    def below(self, obj: int) -> Union[Below, End]:
        """The step from an object. Nothing raises."""
        definition = self.tasks.view.definition_of(obj)
        if not isinstance(definition, str):
            return End("unread", obj, "something that could not be read", "unresolved", definition.why)
        if obj in self._running:
            running = self._running[obj]
            index = running.thread.index
            what = f"{running.task.what}, which thread {index} runs now"
            return End("running", obj, what, running.grade, running.how, thread=index)
        plan = self.machines.of(obj)
        state = self.tasks.state(obj)
        if state is not None and state.done:
            return End("over", obj, "something that is done", "proved", f"the flags of the task 0x{obj:x} say so")
        if plan is not None:
            return self._of_machine(obj, plan)
        if state is not None and is_box(definition):
            how = "the fields of its state machine are not in the dump (-m names a folder with its assembly)"
            return End("unread", obj, "an awaiting method that could not be read", "unresolved", how)
        if definition.endswith(_WHEN_ALL):
            return self._all(obj)
        if definition.endswith(_UNWRAP):
            return self._told(obj, "wrapper", "Task.Unwrap", 1)
        if definition.endswith(_WHEN_ANY):
            return self._any(obj)
        if definition.endswith(_CANCELLABLE):
            return self._in_time(obj)
        if definition.endswith(_AS_TASK) or "+ValueTaskSourceAsTask" in definition:
            return self._fields(obj, "wrapper", "ValueTask.AsTask", "_source")
        antecedent = self.tasks.reference(obj, "m_antecedent")
        if antecedent and state is not None and not state.invoked and obj not in self._queued:
            what = f"{state.what}, a continuation"
            how = f"m_antecedent of the task 0x{obj:x} is 0x{antecedent:x}"
            return Below("continuation", what, None, (antecedent,), "proved", how)
        if state is not None and self.tasks.reference(obj, "m_action"):
            return self._delegate(obj)
        return end_of(self.tasks, obj)

    def _queue_end(self, obj: int) -> Optional[End]:
        item = self._queued.get(obj)
        if item is None:
            return None
        what = f"the thread pool: number {item.position + 1} of its {item.queue} queue"
        return End("queued", obj, what, "proved", f"the slot 0x{item.slot:x} of the {item.queue} queue names 0x{obj:x}")

    def _delegate(self, obj: int) -> End:
        state = self.tasks.state(obj)
        queued = self._queue_end(obj)
        if queued is not None:
            return queued
        what = state.what if state is not None else "a method"
        if state is not None and state.invoked:
            how = f"the flags of the task 0x{obj:x} say that it has begun; the thread was not told from the stacks"
            return End("running", obj, f"{what}, which has begun", "corroborated", how)
        how = f"the task 0x{obj:x} has not begun, and stands in no queue of the pool that was read"
        return End("unstarted", obj, f"{what}, which has not begun", "corroborated", how)

    # Methods

    def _of_machine(self, obj: int, plan: MachinePlan) -> Union[Below, End]:
        state = self.machines.state(obj)
        what = method_of(plan.name)
        if state is None:
            return End("unread", obj, f"{what}, whose state could not be read", "unresolved", "its memory lacks")
        if state == DONE:
            return End("over", obj, f"{what}, which is done", "corroborated", f"the machine of 0x{obj:x} has state -2")
        queued = self._queue_end(obj)
        if queued is not None:
            return queued
        if state == RUNNING:
            how = f"the machine of 0x{obj:x} has state -1; no thread was found in it"
            return End("running", obj, f"{what}, which runs or has not begun", "inferred", how)
        number = number_of_await(plan, state)
        named = self.machines.awaited(obj)
        first = next((a for a in named if self.goes_on(a, obj)), None)
        if first is not None:
            how = f"an awaiter of 0x{obj:x} names 0x{first:x}, whose continuation leads back to it"
            words = self._words(named[first], first, obj)
            return Below("method", what, number, (first,), "proved", how, words=words)
        if named:
            first = next(iter(named))
            how = f"an awaiter of 0x{obj:x} names 0x{first:x}"
            return Below("method", what, number, (first,), "inferred", how, words=(_awaiter(named[first], first),))
        how = f"the machine of 0x{obj:x} has state {state}; its awaiter names no object"
        return End("custom", obj, f"{what} at await {number}, of something that is no object", "inferred", how)

    def _words(self, slot: int, awaited: int, obj: int) -> Tuple[Word, ...]:
        """The awaiter's word, and the one that names who goes on where that is the method itself."""
        field = self.tasks.view.field(awaited, "m_continuationObject") if self.tasks.is_task(awaited) else None
        if not isinstance(field, Value) or not isinstance(field.value, int) or not field.value:
            return (_awaiter(slot, awaited),)
        reading = "the method" if field.value == obj else "what leads to the method"
        back = Word("m_continuationObject of what is awaited", field.address, field.value, 8, reading)
        return (_awaiter(slot, awaited), back)

    def goes_on(self, source: int, obj: int) -> bool:
        """Whether what is awaited names the method (or a delegate of it) as the one who goes on."""
        if self.tasks.is_task(source):
            way = (one for first in self.tasks.continuations(source) for one in self.tasks.way_on(first))
            return any(one == obj or self.machines.object_of(one) == obj for one in way)
        told = self.tasks.sources.told(source)
        if told is not None and obj in (told, self.machines.object_of(told)):
            return True
        view = self.tasks.view
        size = view.size_of(source)
        count = min(size // 8, _SOURCE_WORDS) if isinstance(size, int) else 0
        try:
            words = view.words.many(source, count, "a source of values") if count else ()
        except NotRead:
            return False
        return obj in words or any(self._delegate_of(word) == obj for word in words if word)

    def _delegate_of(self, word: int) -> Optional[int]:
        name = self.tasks.view.definition_of(word) if word % 8 == 0 and word > 0xFFFF else None
        return self.tasks.reference(word, "_target") if name == "System.Action" else None

    # Promises over several tasks

    def _fields(self, obj: int, kind: NodeKind, what: str, name: str) -> Union[Below, End]:
        inner = self.tasks.reference(obj, name)
        if not inner:
            return end_of(self.tasks, obj)
        return Below(kind, what, None, (inner,), "proved", f"{name} of 0x{obj:x} is 0x{inner:x}")

    def _in_time(self, obj: int) -> Union[Below, End]:
        """Task.WaitAsync: the task, or the timer, or a cancellation; a token that could not be read is counted only."""
        tasks, view = self.tasks, self.tasks.view
        task, timer = tasks.reference(obj, "_task"), timer_of(tasks, obj)
        if not task:
            return end_of(tasks, obj)
        token = view.field(obj, "_registration")
        node = view.struct_field(token.method_table, token.address, "_node") if isinstance(token, Value) else None
        known = isinstance(node, Value)
        callback = node.value if isinstance(node, Value) and isinstance(node.value, int) else 0
        ways = tuple(way for way in (task, timer.address if timer is not None else 0, callback) if way)
        return Below("any", "Task.WaitAsync", None, ways, "proved", f"fields of 0x{obj:x} name them", 0 if known else 1)

    def _any(self, obj: int) -> Union[Below, End]:
        found = [a for a in (self.tasks.reference(obj, name) for name in ("_task1", "_task2")) if a]
        if not found:
            found = self._listed(self.tasks.reference(obj, "_tasks"))
        if not found:
            return end_of(self.tasks, obj)
        how = f"a field of 0x{obj:x} names them"
        return Below("any", "Task.WhenAny", None, tuple(found[:_MOST]), "proved", how, max(0, len(found) - _MOST))

    def _listed(self, obj: Optional[int]) -> List[int]:
        if not obj:
            return []
        inner = self.tasks.reference(obj, "_items")
        return self.tasks.elements(inner or obj, limits.CONTINUATIONS)

    def _all(self, obj: int) -> Union[Below, End]:
        left = self.tasks.number(obj, "_remainingToComplete")
        listed = self.tasks.reference(obj, "m_tasks") or self.tasks.reference(obj, "_tasks")
        if not listed:
            return self._told(obj, "all", "Task.WhenAll", left)
        open_ones = [a for a in self._listed(listed) if not self._is_done(a)]
        if not open_ones:
            return end_of(self.tasks, obj)
        how = f"the array 0x{listed:x} of the promise 0x{obj:x} names them, and their flags say that they are not done"
        rest = max(0, len(open_ones) - _MOST)
        return Below("all", "Task.WhenAll", None, tuple(open_ones[:_MOST]), "proved", how, rest)

    def _is_done(self, obj: int) -> bool:
        state = self.tasks.state(obj)
        return state is not None and state.done

    def _told(self, obj: int, kind: NodeKind, what: str, expected: Optional[int]) -> Union[Below, End]:
        """A promise that names nobody: the tasks that go on to it are looked for."""
        known = [a for a in (*self._running, *self._queued) if obj in self.tasks.continuations(a)]
        table = self._table()
        rows = table.told_by(obj, _MOST + 1) if expected is None or len(known) < expected else []
        found = list(dict.fromkeys([*known, *(table.addresses[row] for row in rows)]))
        if expected is not None and len(found) < min(expected, _MOST):
            found = list(dict.fromkeys([*found, *self._in_lists(table, obj)]))
        if not found:
            how = "; ".join(table.lacks) or "no task that goes on to it was found"
            return End("unread", obj, f"the tasks of {what}", "unresolved", how)
        how = f"their continuation is the promise 0x{obj:x}"
        if expected is not None:
            how += f", which counts {plural(expected, 'task')} that {'is' if expected == 1 else 'are'} not done"
        grade: Grade = "proved" if expected is None or len(found) >= min(expected, _MOST) else "corroborated"
        left = max(0, max(expected or 0, len(found)) - min(len(found), _MOST))
        return Below(kind, what, None, tuple(found[:_MOST]), grade, how, left)

    def _in_lists(self, table: TaskTable, obj: int) -> List[int]:
        """Tasks that have several continuations, this promise among them."""
        found = []
        for row in table.with_lists(self.tasks):
            if obj in self.tasks.continuations(table.addresses[row]):
                found.append(table.addresses[row])
        return found


def _awaiter(slot: int, awaited: int) -> Word:
    return Word("awaiter of the method", slot, awaited, 8, "what is awaited")
