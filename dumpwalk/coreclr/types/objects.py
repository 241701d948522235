"""Objects of the managed heap: type, size, header, field values, strings, arrays with their bounds.

Sources: src/coreclr/vm/object.h (Object, ArrayBase, StringObject), ECMA-335 I.8.9.1. Bounds: limits below; longer strings
and arrays are cut and say so.
"""

from __future__ import annotations

import struct
from typing import List, Optional, Tuple, Union

from dumpwalk.coreclr.metadata.schema import TYPE_DEF
from dumpwalk.coreclr.metadata.signature import field_type
from dumpwalk.coreclr.types.fields import FieldDesc, Fields
from dumpwalk.coreclr.types.method_table import TypeTable
from dumpwalk.coreclr.types.names import PRIMITIVES, TypeNames
from dumpwalk.coreclr.words import NotRead, Unknown
from dumpwalk.dataclass import dataclass

VALUE_TYPE, REFERENCE = 0x11, 0x12
_STRING_CHARACTERS = 1 << 20
_LENGTH, _STRING_DATA = 8, 12
_MARKS = ~7
"""Bits of the first word that the collector uses."""
_MOST_LENGTH = 0x7FFFFFFF

Scalar = Union[int, float, bool, None]


@dataclass(frozen=True)
class Value:
    """A field, an array's element or a static."""

    value: Scalar
    """Number, bool, or an object's address for a reference (0: null); None for a struct, whose fields are at `address`."""
    address: int
    size: int
    """Bytes; 0 for a struct whose size is not known."""
    element_type: int
    """CorElementType."""
    type_name: Optional[str]
    """The declared type."""
    method_table: int = 0
    """A struct's, where it is known."""

    @property
    def is_reference(self) -> bool:
        return self.element_type == REFERENCE


@dataclass(frozen=True)
class Array:
    """An array object."""

    address: int
    method_table: int
    lengths: Tuple[int, ...]
    lower_bounds: Tuple[int, ...]
    element_size: int
    element_type: str
    """The element's type name."""
    element_table: int
    """The element's TypeHandle."""
    data: int
    """Address of the first element."""

    @property
    def length(self) -> int:
        """All elements."""
        total = 1
        for one in self.lengths:
            total *= one
        return total


class Objects:
    """Reads objects. Methods raise NotRead."""

    def __init__(self, types: TypeTable, names: TypeNames, fields: Fields) -> None:
        self._types = types
        self._names = names
        self._fields = fields
        self._words = types.words

    def method_table(self, address: int) -> int:
        """The object's type, when its word leads to a method table that checks out."""
        if address % 8 or not address:
            raise NotRead(
                f"0x{address:x} is no object: it is {'null' if not address else 'not 8-aligned'}", absent=True
            )
        table = self._words.u64(address, "the object") & _MARKS
        if not table:
            raise NotRead(f"0x{address:x} is no object: its first word is null", absent=True)
        self._types.eeclass(table)
        return table

    def size(self, address: int) -> int:
        """Bytes, header word included, rounded up to 8 as the heap does."""
        table = self._types.table(self.method_table(address))
        count = self._words.u32(address + _LENGTH, "the object") if table.has_components else 0
        return table.base_size + count * table.component_size + 7 & ~7

    def string(self, address: int) -> str:
        """A System.String's text; half surrogates become visible escapes."""
        table = self._types.table(self.method_table(address))
        if table.is_array or table.component_size != 2 or not table.has_components:
            raise NotRead(f"0x{address:x} is no string", absent=True)
        count = self._words.u32(address + _LENGTH, "the string")
        if count > _MOST_LENGTH:
            raise NotRead(f"the string 0x{address:x} has a length that cannot be")
        if not count:
            return ""
        data = self._words.take(address + _STRING_DATA, 2 * min(count, _STRING_CHARACTERS), "the string's text")
        return data.decode("utf-16-le", "backslashreplace")

    def array(self, address: int) -> Array:
        at = self.method_table(address)
        table = self._types.table(at)
        if not table.is_array:
            raise NotRead(f"0x{address:x} is no array", absent=True)
        count = self._words.u32(address + _LENGTH, "the array")
        element = table.element
        try:
            name = self._names.name(element)
        except NotRead:
            name = "?"
        data = address + table.base_size - 8
        if table.is_vector:
            return Array(address, at, (count,), (0,), table.component_size, name, element, data)
        rank = self._types.rank(at)
        if not 1 <= rank <= 32:
            raise NotRead(f"the array 0x{address:x} has {rank} dimensions")
        bounds = struct.unpack(f"<{2 * rank}i", self._words.take(address + 16, 8 * rank, "the array's bounds"))
        found = Array(address, at, bounds[:rank], bounds[rank:], table.component_size, name, element, data)
        if min(found.lengths) < 0 or found.length != count:
            raise NotRead(f"the bounds of the array 0x{address:x} do not agree with its length")
        return found

    def element(self, array: Array, index: int) -> Value:
        """The element at a flat index."""
        at = array.data + index * array.element_size
        kind = self._kind_of(array.element_table)
        if kind == VALUE_TYPE:
            return Value(None, at, array.element_size, kind, array.element_type, array.element_table)
        return self._scalar(at, kind, array.element_type)

    def _kind_of(self, handle: int) -> int:
        """The element type of values of a type."""
        if handle & 2:
            return 0x18  # pointers
        table = self._types.table(handle)
        if table.is_array or not table.flags & 0x40000 or table.has_components:
            return REFERENCE
        category = table.flags & 0xF0000
        if category in (0x60000, 0x70000):  # enums and primitives keep their element type in the class
            kind = self._element_kind(handle)
            if kind in PRIMITIVES:
                return kind
        return VALUE_TYPE

    def _element_kind(self, handle: int) -> int:
        """A primitive's or enum's own field is of its element type."""
        own = [f for f in self._fields.own(handle) if not f.static]
        return own[0].element_type if len(own) == 1 else VALUE_TYPE

    def field(self, address: int, name: str) -> Value:
        """An instance field of an object."""
        field = self._fields.find(self.method_table(address), name)
        if field.static:
            raise NotRead(f"{name} is a static field", absent=True)
        return self.value(field, address + self._fields.offset_of(field))

    def struct_field(self, method_table: int, address: int, name: str) -> Value:
        """A field of a struct whose fields begin at `address`."""
        field = self._fields.find(method_table, name)
        return self.value(field, address + self._fields.offset_of(field) - 8)

    def value(self, field: FieldDesc, address: int) -> Value:
        """What lies at a field's place."""
        name, table = self._declared(field)
        if field.element_type == VALUE_TYPE:
            size = self._types.table(table).base_size - 16 if table else 0
            return Value(None, address, max(0, size), VALUE_TYPE, name, table)
        return self._scalar(address, field.element_type, name)

    def _scalar(self, address: int, kind: int, name: Optional[str]) -> Value:
        if kind not in PRIMITIVES:
            return Value(self._words.u64(address, "the field"), address, 8, REFERENCE, name)
        spelled, form, size = PRIMITIVES[kind]
        (number,) = struct.unpack("<" + form, self._words.take(address, size, "the field"))
        return Value(number, address, size, kind, name or spelled)

    def _declared(self, field: FieldDesc) -> Tuple[Optional[str], int]:
        """(type name, method table of a struct that is defined in the same module) from the field's signature."""
        try:
            module = self._fields.module(field)
            declared = field_type(module.metadata(), field.rid)
        except NotRead:
            return None, 0
        table = 0
        if field.element_type == VALUE_TYPE and declared.token is not None and declared.token[0] == TYPE_DEF:
            try:
                table = module.lookup(TYPE_DEF, declared.token[1])
                self._types.eeclass(table)
            except NotRead:
                table = 0
        return declared.text, table

    def values(self, address: int) -> List[Tuple[FieldDesc, Union[Value, Unknown]]]:
        """Every instance field with its value, the root type's first."""
        found: List[Tuple[FieldDesc, Union[Value, Unknown]]] = []
        for field in self._fields.all(self.method_table(address)):
            try:
                found.append((field, self.value(field, address + self._fields.offset_of(field))))
            except NotRead as error:
                found.append((field, Unknown(error.why, error.absent)))
        return found
