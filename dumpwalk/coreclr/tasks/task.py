"""What one Task's memory says: its state, what it runs, and who goes on when it is done.

Sources: System.Private.CoreLib/src/System/Threading/Tasks/Task.cs (TASK_STATE_*, m_continuationObject), TaskContinuation.cs,
TaskFactory.cs, System/Runtime/CompilerServices/AsyncTaskMethodBuilderT.cs (AsyncStateMachineBox): the same names in 3.1 to 10.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.tasks.machine import Machines
from dumpwalk.coreclr.tasks.precode import called_method
from dumpwalk.coreclr.tasks.sources import ValueSources
from dumpwalk.coreclr.types.objects import Array, Value
from dumpwalk.dataclass import dataclass

TASK = "System.Threading.Tasks.Task"
DELEGATE_INVOKED = 0x20000
_COMPLETED = 0x1000000 | 0x200000 | 0x400000
"""Ran to completion, faulted, cancelled."""
_BOX = re.compile(r"AsyncStateMachineBox`1\[(.*)\]$")
_ANY_BOX = re.compile(r"StateMachineBox`1\[(.*)\]$")
_STATE_MACHINE = re.compile(r"^(.*)\+<([^<>]+)>(?:d(?:__\d+)?|c__async[0-9A-F]*)(?:`\d+)?(?:\[.*\])?$")
_LOCAL = re.compile(r"^(.*)\+<<([^<>]+)>g__([^|<>]+)\|[\d_]+>d(?:`\d+)?(?:\[.*\])?$")
_LAMBDA = re.compile(r"^(.*)\+<<([^<>]+)>b__[\d_]+>d(?:`\d+)?(?:\[.*\])?$")
_CLOSURE = re.compile(r"\+<>c(?:__(?:DisplayClass)?[\d_]+)?(?:`\d+)?$")
"""The class that the compiler makes for lambdas and what they capture."""
EVENTS = ("SetOnInvokeMres", "SetOnCountdownMres")
"""Ends of the type's name of the event on which a blocked thread sleeps until its task (or all of its tasks) is done."""
_RUNNING = -1
"""State of a state machine that is between two awaits, by either compiler."""
_ONE_OF_MANY = ("CompleteOnInvokePromise", "WhenAnyPromise", "CancellationPromise", "UnwrapPromise`1+Timeout")
"""Continuations that something else may complete as well: they do not depend on this task."""


@dataclass(frozen=True)
class TaskState:
    address: int
    flags: int
    type_name: str
    """With arguments."""
    what: str
    """What it runs, for people: `Program.Nested` for an async method, a delegate's method, or its type."""
    is_box: bool
    """The state machine of an async method."""
    machine: Optional[str]
    """The state machine's type, of a box."""
    cancellable: bool
    """It was made with a token that somebody may cancel; True also where that could not be read."""

    @property
    def done(self) -> bool:
        return bool(self.flags & _COMPLETED)

    @property
    def invoked(self) -> bool:
        """Its delegate has begun to run."""
        return bool(self.flags & DELEGATE_INVOKED)


class Tasks:
    """Tasks of one process. Nothing raises on damaged memory: what is no task is None."""

    def __init__(self, view: ManagedView) -> None:
        self.view = view
        self.sources = ValueSources(view)
        self._machines = Machines(view)
        self._are_tasks: Dict[int, bool] = {}
        self._known: Dict[int, Optional[TaskState]] = {}

    def is_task(self, obj: int) -> bool:
        """Whether an object's type derives from Task."""
        table = self.view.method_table_of(obj)
        if not isinstance(table, int):
            return False
        known = self._are_tasks.get(table)
        if known is None:
            known = self._are_tasks[table] = self.view.is_a(table, TASK) is True
        return known

    def state(self, obj: int) -> Optional[TaskState]:
        """What is known of a Task; None where the object is none, or its flags are not in the dump."""
        if obj not in self._known:
            self._known[obj] = self._read(obj) if self.is_task(obj) else None
        return self._known[obj]

    def _read(self, obj: int) -> Optional[TaskState]:
        flags = self.number(obj, "m_stateFlags")
        if flags is None:
            return None
        name = self.view.type_of(obj)
        type_name = name if isinstance(name, str) else TASK
        found = _BOX.search(type_name)
        machine = _last_argument(found.group(1)) if found else None
        if machine is not None:
            what = method_of(machine)
        else:
            action = self.reference(obj, "m_action")
            what = self.delegate(action) if action else short_type(type_name)
        return TaskState(obj, flags, type_name, what, machine is not None, machine, self._cancellable(obj))

    def method_in(self, obj: int) -> Optional[str]:
        """The async method whose state machine a box has, one of a pooled builder too; None where it is no box."""
        name = self.view.type_of(obj)
        found = _ANY_BOX.search(name) if isinstance(name, str) else None
        return method_of(_last_argument(found.group(1))) if found else None

    def _cancellable(self, obj: int) -> bool:
        more = self.reference(obj, "m_contingentProperties")
        if more is None:
            return True
        if not more:
            return False
        token = self.view.field(more, "m_cancellationToken")
        if not isinstance(token, Value) or not token.method_table:
            return True
        source = self.view.struct_field(token.method_table, token.address, "_source")
        return not (isinstance(source, Value) and source.value == 0)

    def number(self, obj: int, name: str) -> Optional[int]:
        """A field's number; None where it could not be read."""
        value = getattr(self.view.field(obj, name), "value", None)
        return int(value) if isinstance(value, int) else None

    reference = number
    """The object that a field names, 0 for null; None where it could not be read."""

    def delegate(self, obj: int) -> str:
        """The method that a delegate calls, or its target's type where that could not be told."""
        for field in ("_methodPtrAux", "_methodPtr"):
            code = self.number(obj, field)
            method = called_method(self.view, code) if code else None
            if method is not None:
                return method.full
        target = self.reference(obj, "_target")
        name = self.view.type_of(target) if target else None
        return f"a method of {name}" if isinstance(name, str) else "a delegate"

    # Who goes on

    def continuations(self, obj: int) -> List[int]:
        """The objects that are told when a task is done: one, or those of a list."""
        first = self.reference(obj, "m_continuationObject")
        if not first:
            return []
        name = self.view.definition_of(first)
        if not isinstance(name, str) or not name.startswith("System.Collections.Generic.List`1"):
            return [first]
        items = self.reference(first, "_items")
        size = self.number(first, "_size") or 0
        return self.elements(items, max(0, min(size, limits.CONTINUATIONS))) if items else []

    def elements(self, array: int, most: int) -> List[int]:
        """The objects that an array of references names, those that are not null."""
        found = self.view.array(array)
        values = self.view.items(found, most) if isinstance(found, Array) else []
        return [int(v.value) for v in values if isinstance(v, Value) and isinstance(v.value, int) and v.value]

    def followers(self, obj: int) -> List[int]:
        """Tasks that cannot be done before this one is: they await it, continue it or wait for all of several."""
        found = []
        for continuation in self.continuations(obj):
            follower = self.follower(continuation)
            if follower is not None:
                found.append(follower)
        if not found:
            told = self.sources.told(obj) or self.sources.told(self._machine_object(obj))
            follower = self.follower(told) if told else None
            if follower is not None:
                found.append(follower)
        return found

    def _machine_object(self, obj: int) -> int:
        """The state machine of a box, where it is an object of its own; 0 where there is none."""
        state = self.state(obj)
        return (self.reference(obj, "StateMachine") or 0) if state is not None and state.is_box else 0

    def follower(self, continuation: int) -> Optional[int]:
        """The task that a continuation moves on; None where it may be moved on by something else as well."""
        return next((obj for obj in self.way_on(continuation) if self.is_task(obj)), None)

    def way_on(self, continuation: int) -> Iterator[int]:
        """The objects from a continuation to the task that it moves on: wrappers, delegates, boxes that are no tasks."""
        for _ in range(limits.DELEGATES_DEEP):
            name = self.view.definition_of(continuation)
            if not isinstance(name, str) or any(part in name for part in _ONE_OF_MANY):
                return
            yield continuation
            if self.is_task(continuation):
                return
            inner = None
            for field in ("m_task", "m_action", "_target", "_continuation", "_innerTask"):
                inner = self.reference(continuation, field)
                if inner:
                    break
            inner = inner or self.sources.told(continuation)
            if not inner:
                return
            continuation = inner

    def in_motion(self, box: int) -> bool:
        """The async method runs now: its state machine's state is -1 and no await's number."""
        return self._machines.state(box) == _RUNNING

    def released_by(self, first: int) -> Iterator[Tuple[int, Tuple[int, ...]]]:
        """(task, the way to it) of every task that cannot be done before `first` is, nearest first; itself included."""
        ways: Dict[int, Tuple[int, ...]] = {first: (first,)}
        work = [first]
        while work and len(ways) < limits.CHAIN_TASKS:
            task = work.pop(0)
            yield task, ways[task]
            for follower in self.followers(task):
                if follower not in ways:
                    ways[follower] = (*ways[task], follower)
                    work.append(follower)


def _last_argument(arguments: str) -> str:
    """The last of generic arguments at the outermost level: the state machine of a box."""
    depth, start = 0, 0
    for position, letter in enumerate(arguments):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            start = position + 1
    return arguments[start:].strip()


def method_of(machine: str) -> str:
    """`Program.Nested` of `Program+<Nested>d__37`; a local function by its own name."""
    local = _LOCAL.match(machine)
    if local:
        return f"{_CLOSURE.sub('', local.group(1))}.{local.group(2)}.{local.group(3)}"
    lambda_ = _LAMBDA.match(machine)
    if lambda_:
        return f"{_CLOSURE.sub('', lambda_.group(1))}.{lambda_.group(2)} (lambda)"
    found = _STATE_MACHINE.match(machine)
    return f"{found.group(1)}.{found.group(2)}" if found else machine


def short_type(name: str) -> str:
    """`Task`1[System.Int32]` without its namespace."""
    return name[len("System.Threading.Tasks.") :] if name.startswith("System.Threading.Tasks.") else name
