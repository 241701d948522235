"""One object for a person: its type, size, lock state, fields by name, text or elements, and whose stacks refer to it."""

from __future__ import annotations

import struct
from dataclasses import field
from typing import Any, List, Optional, Tuple, Union

from dumpwalk import limits
from dumpwalk.core.memory import captured_run
from dumpwalk.core.process import Process, Thread
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.types.header import Header, decode
from dumpwalk.coreclr.types.objects import VALUE_TYPE, Array, Value
from dumpwalk.coreclr.words import Unknown
from dumpwalk.dataclass import dataclass

ELEMENTS = 32
"""Elements of an array that are shown."""
TEXT = 400
"""Characters of a string that are shown."""
_STRUCT_DEPTH = 3
_REFERENCES = 1000
_LAST_FRAME = 4096
"""Bytes above the outermost frame's stack pointer that are still counted to it."""


@dataclass(frozen=True)
class Shown:
    """A value as it is told."""

    name: str
    """The field, or the element's index in brackets."""
    offset: Optional[int]
    """From the object's address."""
    type_name: Optional[str]
    """Declared."""
    text: str
    """null, a number, an address, or what lacked in parentheses."""
    what: Optional[str] = None
    """Of a reference: the object's own type, of a string its text in quotes."""
    inside: Tuple[Shown, ...] = ()
    """Fields of a struct."""


@dataclass(frozen=True)
class Reference:
    thread: int
    tid: Optional[int]
    where: str
    """`[0x...]` or a register's name."""
    frame: Optional[str]
    """The method or function in whose frame the word lies, where the stack tells."""


@dataclass
class ObjectLook:
    address: int
    type_name: Optional[str] = None
    module: Optional[str] = None
    method_table: Optional[int] = None
    size: Optional[int] = None
    header: Optional[Header] = None
    parents: List[str] = field(default_factory=list)
    text: Optional[str] = None
    """A string's."""
    length: Optional[int] = None
    """A string's characters or an array's elements."""
    bounds: Optional[str] = None
    """`[0..9, 0..4]`, of an array."""
    values: List[Shown] = field(default_factory=list)
    references: Optional[List[Reference]] = None
    notes: List[str] = field(default_factory=list)
    """Sentences: what could not be told."""
    why: Optional[str] = None
    """Why there is nothing to show."""


def look(process: Process, view: ManagedView, address: int, major: Optional[int], refs: bool) -> ObjectLook:
    """The object at an address. Never raises; what is missing is told in the result."""
    result = ObjectLook(address)
    table = view.method_table_of(address)
    if isinstance(table, Unknown):
        result.why = table.why
    else:
        result.method_table = table
        _describe(view, result, table, major)
    if refs:
        result.references = list(_references(process, view, address))
    return result


def _describe(view: ManagedView, result: ObjectLook, table: int, major: Optional[int]) -> None:
    address = result.address
    result.type_name = _said(view.type_name(table), result)
    result.size = _said(view.size_of(address), result)
    word = view.header(address)
    result.header = None if isinstance(word, Unknown) else decode(word, major)
    module = view.module_of(table)
    result.module = None if isinstance(module, Unknown) else module
    chain = view.parents(table)
    for parent in [] if isinstance(chain, Unknown) else chain:
        name = view.type_name(parent)
        result.parents.append("?" if isinstance(name, Unknown) else name)
    text = view.string(address)
    if not isinstance(text, Unknown):
        result.length, result.text = len(text), text[:TEXT]
        return
    array = view.array(address)
    if not isinstance(array, Unknown):
        _elements(view, result, array)
        return
    fields = view.fields(address)
    if isinstance(fields, Unknown):
        result.notes.append(f"its fields are not known: {fields.why}")
        return
    for declared, value in fields:
        offset = value.address - address if isinstance(value, Value) else None
        result.values.append(_shown(view, declared.name, offset, value, 0))


def _elements(view: ManagedView, result: ObjectLook, array: Array) -> None:
    result.length = array.length
    bounds = [f"{low}..{low + length - 1}" for low, length in zip(array.lower_bounds, array.lengths)]
    result.bounds = "[" + ", ".join(bounds) + "]"
    for index, value in enumerate(view.items(array, ELEMENTS)):
        offset = value.address - array.address if isinstance(value, Value) else None
        result.values.append(_shown(view, _place(array, index), offset, value, 0))


def _place(array: Array, flat: int) -> str:
    """The index of an element, last dimension fastest."""
    places: List[int] = []
    for low, length in reversed(list(zip(array.lower_bounds, array.lengths))):
        places.append(low + flat % max(length, 1))
        flat //= max(length, 1)
    return "[" + ", ".join(str(place) for place in reversed(places)) + "]"


def _shown(view: ManagedView, name: str, offset: Optional[int], value: Union[Value, Unknown], depth: int) -> Shown:
    if isinstance(value, Unknown):
        return Shown(name, offset, None, f"({value.why})")
    if value.element_type == VALUE_TYPE:
        inside: List[Shown] = []
        if value.method_table and depth < _STRUCT_DEPTH:
            for part, inner in view.struct_fields(value.method_table, value.address):
                at = inner.address - value.address + (offset or 0) if isinstance(inner, Value) else None
                inside.append(_shown(view, part, at, inner, depth + 1))
        return Shown(name, offset, value.type_name, f"at 0x{value.address:x}", None, tuple(inside))
    if value.is_reference:
        target = int(value.value or 0)
        if not target:
            return Shown(name, offset, value.type_name, "null")
        return Shown(name, offset, value.type_name, f"0x{target:x}", _what(view, target))
    return Shown(name, offset, value.type_name, str(value.value))


def _what(view: ManagedView, target: int) -> str:
    text = view.string(target)
    if not isinstance(text, Unknown):
        cut = "..." if len(text) > 60 else ""
        return f'"{text[:60]}{cut}"'
    name = view.type_of(target)
    return f"({name.why})" if isinstance(name, Unknown) else name


def _said(value: Any, result: ObjectLook) -> Any:
    if isinstance(value, Unknown):
        result.notes.append(value.why)
        return None
    return value


def _references(process: Process, view: ManagedView, address: int) -> List[Reference]:
    """Registers of the innermost frames, and words of the stacks, that are equal to the address."""
    found: List[Reference] = []
    for thread in process.threads:
        for name, value in thread.registers.items():
            if value == address:
                found.append(Reference(thread.index, thread.tid, name, None))
        stack = thread.registers.get(process.arch.sp, 0)
        for slot in _slots(process, stack, address):
            found.append(Reference(thread.index, thread.tid, f"[0x{slot:x}]", _frame_of(view, thread, slot)))
            if len(found) >= _REFERENCES:
                return found
    return found


def _slots(process: Process, start: int, wanted: int) -> List[int]:
    """Addresses above a stack pointer whose word is `wanted`, as far as the stack's memory is one run."""
    if not start:
        return []
    run = captured_run(process.memory, start)
    if run is None:
        return []
    end = min(run[1], start + limits.OBJECT_STACK_BYTES)
    data = process.memory.read(start & ~7, (end - (start & ~7)) & ~7) or b""
    needle, slots, at = struct.pack("<Q", wanted), [], 0
    while (at := data.find(needle, at)) >= 0:
        if at % 8 == 0:
            slots.append((start & ~7) + at)
        at += 1
    return slots


def _frame_of(view: ManagedView, thread: Thread, slot: int) -> Optional[str]:
    """The frame with the highest stack pointer at or below the slot."""
    best = None
    for frame in thread.frames():
        if frame.sp is not None and frame.sp <= slot and (best is None or frame.sp >= (best.sp or 0)):
            best = frame
    if best is None or best is thread.frames()[-1] and slot - (best.sp or 0) > _LAST_FRAME:
        return None
    if best.function:
        return best.function
    method = view.method_at(best.pc - (1 if best.index else 0))
    if not isinstance(method, Unknown):
        return method.full
    return best.module.name if best.module is not None else None
