"""The name of a type: `Namespace.Outer+Inner`, generic ones with arity and arguments, arrays, pointers.

Arguments print as the runtime's own names do (`List`1[System.String]`). Shared code carries `System.__Canon` for every
reference type: which one it was is not in the method table.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from dumpwalk.coreclr.types.fields import Fields
from dumpwalk.coreclr.types.method_table import TypeTable
from dumpwalk.coreclr.types.shapes import Shape
from dumpwalk.coreclr.words import NotRead

_DEPTH = 12
"""Generic arguments within arguments, and arrays of arrays, that are spelled; deeper ones become `...`."""
_TYPES = 256
"""Types spelled for one name."""
_DESC = 2
_POINTER, _BYREF, _TYPE_VAR, _METHOD_VAR, _FUNCTION = 0xF, 0x10, 0x13, 0x1E, 0x1B
_TARGET, _VAR_TOKEN = 0x10, 0x28

PRIMITIVES: Dict[int, Tuple[str, str, int]] = {
    0x2: ("System.Boolean", "?", 1),
    0x3: ("System.Char", "H", 2),
    0x4: ("System.SByte", "b", 1),
    0x5: ("System.Byte", "B", 1),
    0x6: ("System.Int16", "h", 2),
    0x7: ("System.UInt16", "H", 2),
    0x8: ("System.Int32", "i", 4),
    0x9: ("System.UInt32", "I", 4),
    0xA: ("System.Int64", "q", 8),
    0xB: ("System.UInt64", "Q", 8),
    0xC: ("System.Single", "f", 4),
    0xD: ("System.Double", "d", 8),
    0x18: ("System.IntPtr", "Q", 8),
    0x19: ("System.UIntPtr", "Q", 8),
    0xF: ("System.Void*", "Q", 8),
    0x1B: ("fnptr", "Q", 8),
}
"""CorElementType (ECMA-335 II.23.1.16): name, struct form, bytes."""


class TypeNames:
    """Spells types. `name` raises NotRead where the outermost type's metadata lacks; inner ones become `?`."""

    def __init__(self, table: TypeTable, fields: Fields) -> None:
        self._table = table
        self._fields = fields
        self._kept: Dict[int, str] = {}
        self._room = 0

    def name(self, handle: int) -> str:
        """A TypeHandle's name, with arguments."""
        if handle not in self._kept:
            self._room = _TYPES
            self._kept[handle] = self._spell(handle, 0)
        return self._kept[handle]

    def shape(self, method_table: int) -> Optional[Shape]:
        """What a type without metadata is by its fields."""
        return self._fields.shape(method_table)

    def definition(self, method_table: int) -> str:
        """The TypeDef's name without arguments."""
        table = self._table
        rid = table.rid(method_table)
        if table.table(method_table).is_array or not rid:
            return self.name(method_table)
        table.eeclass(method_table)
        return self._declared(method_table)

    def _declared(self, method_table: int) -> str:
        """The TypeDef's name by the metadata; where that lacks, by the type's fields. Raises NotRead."""
        try:
            return self._table.module(method_table).metadata().type_name(self._table.rid(method_table))
        except NotRead:
            shape = self._fields.shape(method_table)
            if shape is None:
                raise
            return shape.type_name

    def _inner(self, handle: int, depth: int) -> str:
        self._room -= 1
        if depth > _DEPTH or self._room <= 0:
            return "..."
        try:
            return self._spell(handle, depth)
        except NotRead:
            return "?"

    def _spell(self, handle: int, depth: int) -> str:
        if handle & _DESC:
            return self._described(handle & ~3, depth)
        table = self._table
        method_table = table.table(handle)
        table.eeclass(handle)
        if method_table.is_array:
            element = self._inner(method_table.element, depth + 1)
            rank = table.rank(handle)
            if rank > 32:
                raise NotRead(f"the array type 0x{handle:x} has {rank} dimensions")
            if method_table.is_vector:
                return element + "[]"
            return element + ("[*]" if rank == 1 else "[" + "," * (rank - 1) + "]")
        name = self._declared(handle)
        if not method_table.is_generic or method_table.is_definition:
            return name
        try:
            arguments = table.arguments(handle)
        except NotRead:
            return name
        return f"{name}[{', '.join(self._inner(argument, depth + 1) for argument in arguments)}]"

    def _described(self, address: int, depth: int) -> str:
        """A TypeDesc: pointer, by-reference, type variable, function pointer."""
        words = self._table.words
        kind = words.u32(address, "the TypeDesc") & 0xFF
        if kind in (_POINTER, _BYREF):
            target = self._inner(words.pointer(address + _TARGET, "the TypeDesc's target"), depth + 1)
            return target + ("*" if kind == _POINTER else "&")
        if kind in (_TYPE_VAR, _METHOD_VAR):
            return f"{'!!' if kind == _METHOD_VAR else '!'}{words.u32(address + _VAR_TOKEN) & 0xFFFFFF:x}"
        if kind == _FUNCTION:
            return "fnptr"
        raise NotRead(f"0x{address:x} is no type descriptor")

    def arguments(self, handles: List[int]) -> str:
        """`[A, B]` of a method's own arguments."""
        self._room = _TYPES
        return "[" + ", ".join(self._inner(handle, 1) for handle in handles) + "]"
