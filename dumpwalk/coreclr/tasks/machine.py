"""The state machine of an awaiting method: at which await it stands, and what object it awaits.

A machine lives in a box (a Task, or a pooled box that is none), as a struct where the compiler optimised and as an object
where it did not; an asynchronous iterator is its own machine. Its state is -1 while the method runs, from 0 on the number of
an await, -2 when it is done. The awaiter of the await it stands at is in one of its fields, and nothing else is in those:
the compiler clears them. Sources: Roslyn (GeneratedNames, `<>1__state`, `<>u__N`), mono's mcs (`$PC`, `$awaiterN`);
AsyncTaskMethodBuilderT.cs, PoolingAsyncValueTaskMethodBuilderT.cs (StateMachine), the same in 3.1 to 10.
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.types.fields import OBJECT_HEADER, FieldDesc
from dumpwalk.coreclr.words import NotRead
from dumpwalk.dataclass import dataclass

RUNNING, DONE = -1, -2
_BOXES = ("StateMachineBox`1", "StateMachineBox")
"""Ends of the definitions' names: of the Task's box, its debug form, and the pooled ones."""
_STATES = ("<>1__state", "$PC")
_AWAITER = re.compile(r"^(?:<>u__\d+|\$awaiter[0-9A-F]*)$")
_MOST_AWAITERS = 256
_LARGEST_MACHINE = 1 << 16
"""Bytes of one machine. Real ones have some hundred."""


@dataclass(frozen=True)
class MachinePlan:
    """Where in objects of one type the machine's parts are. Offsets are bytes from the object's address."""

    name: str
    """The machine's type, with arguments."""
    inside: Optional[int]
    """The field that names the machine, where it is an object of its own; then the other offsets are from that object."""
    state: int
    awaiters: Tuple[int, ...]
    """Words that awaiters may have an object in, in order."""
    first: int
    """The state of the first await: 0 of Roslyn, 1 of mcs."""


class Machines:
    """Plans by type, made once. Nothing raises."""

    def __init__(self, view: ManagedView) -> None:
        self._view = view
        self._plans: Dict[int, Optional[MachinePlan]] = {}

    def plan(self, table: int, obj: int = 0) -> Optional[MachinePlan]:
        """The plan of a box's or iterator's type; None where it is neither, or that could not be read.

        `obj` is one object of it: of a box whose machine is an object that object's type tells where its parts are.
        """
        if table not in self._plans:
            try:
                self._plans[table] = self._make(table, obj)
            except NotRead:
                self._plans[table] = None
        return self._plans[table]

    def of(self, obj: int) -> Optional[MachinePlan]:
        table = self._view.method_table_of(obj)
        return self.plan(table, obj) if isinstance(table, int) else None

    def _make(self, table: int, obj: int) -> Optional[MachinePlan]:
        view = self._view
        definition = view.names.definition(table)
        if is_box(definition):
            at = view.field_lists.instance_offset(table, "StateMachine")
            inner = view.types.arguments(table)[-1]
            if view.types.table(inner).is_value_type:
                return self._parts(inner, at - OBJECT_HEADER, None)
            if not obj:
                return None
            inner = view.objects.method_table(view.words.pointer(obj + at, "the state machine"))
            return self._parts(inner, 0, at)
        if "<" in definition and any(self._has(table, name) for name in _STATES):
            return self._parts(table, 0, None)
        return None

    def _has(self, table: int, name: str) -> bool:
        return any(f.name == name and not f.static for f in self._view.field_lists.own(table))

    def _parts(self, machine: int, base: int, inside: Optional[int]) -> Optional[MachinePlan]:
        """`base` is added to an offset of a field in an object of the machine's type."""
        view = self._view
        fields = [f for f in view.field_lists.own(machine) if not f.static]
        state = next((f for f in fields if f.name in _STATES and f.element_type == 0x8), None)
        if state is None:
            return None
        end = view.types.table(machine).base_size - 16
        if not 0 < end < _LARGEST_MACHINE:
            raise NotRead(f"the state machine 0x{machine:x} has a size that cannot be")
        slots = sorted(slot for f in fields if _AWAITER.match(f.name) for slot in _words(f, fields, end))
        offsets = tuple(OBJECT_HEADER + base + slot for slot in slots[:_MOST_AWAITERS])
        first = 1 if state.name == "$PC" else 0
        return MachinePlan(view.names.name(machine), inside, OBJECT_HEADER + base + state.offset, offsets, first)

    # One object

    def state(self, obj: int) -> Optional[int]:
        """The machine's state; None where it could not be read."""
        plan = self.of(obj)
        at = self._place(plan, obj) if plan is not None else None
        try:
            return self._view.words.i32(at + plan.state, "the machine's state") if plan and at is not None else None
        except NotRead:
            return None

    def awaited(self, obj: int) -> Dict[int, int]:
        """The objects in the awaiters of a machine, mostly one or none, each with the address of the word that names it."""
        plan = self.of(obj)
        at = self._place(plan, obj) if plan is not None else None
        found: Dict[int, int] = {}
        if plan is None or at is None:
            return found
        for offset in plan.awaiters:
            try:
                value = self._view.words.u64(at + offset, "an awaiter")
            except NotRead:
                continue
            if value and value not in found and self._view.is_object(value):
                found[value] = at + offset
        return found

    def object_of(self, box: int) -> Optional[int]:
        """The machine of a box, where it is an object of its own."""
        plan = self.of(box)
        return self._place(plan, box) if plan is not None and plan.inside is not None else None

    def _place(self, plan: Optional[MachinePlan], obj: int) -> Optional[int]:
        """The object whose fields the offsets are of."""
        if plan is None or plan.inside is None:
            return obj
        try:
            return self._view.words.pointer(obj + plan.inside, "the state machine")
        except NotRead:
            return None


def _words(field: FieldDesc, fields: List[FieldDesc], end: int) -> List[int]:
    """Offsets of the whole words that a field takes: up to the next field, or the end of the machine."""
    following = min([f.offset for f in fields if f.offset > field.offset] + [end])
    return list(range(field.offset, following - 7, 8)) if field.offset % 8 == 0 else []


def is_box(definition: str) -> bool:
    """Whether a type is one of those that hold a state machine, by its definition's name."""
    return definition.endswith(_BOXES)


def number_of_await(plan: MachinePlan, state: int) -> int:
    """1 for the first await in the method's text."""
    return state - plan.first + 1
