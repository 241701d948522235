"""Fields of a type by name, inherited ones too: from the metadata's rows to FieldDescs and their offsets.

Sources: src/coreclr/vm/field.h (FieldDesc), class.h (EEClass::m_pFieldDescList). A type has one FieldDesc for each row of
its TypeDef that is no literal, in the list's own order; the row number stands in each.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from dumpwalk.coreclr.metadata.modules import RuntimeModule
from dumpwalk.coreclr.metadata.names import LITERAL
from dumpwalk.coreclr.types.method_table import TypeTable
from dumpwalk.coreclr.types.shapes import Shape, shape_of
from dumpwalk.coreclr.words import NotRead
from dumpwalk.dataclass import dataclass

_DESC = 16
_FIELDS = 20_000
_LAID_OUT = 256
"""Fields of a type that are looked at without its metadata."""
_STATICS = 8
"""Entries behind the instance fields in which a known type's thread static is looked for."""
_LARGEST_OFFSET = (1 << 27) - 7
OBJECT_HEADER = 8
"""Instance fields begin behind the method table's word."""


@dataclass(frozen=True)
class FieldDesc:
    """One field as the runtime lays it out."""

    name: str
    address: int
    """The FieldDesc."""
    declaring: int
    """Method table whose list it is in."""
    rid: int
    element_type: int
    """CorElementType: primitives, 0x11 value type, 0x12 reference."""
    offset: int
    """Bytes from the start of the instance's fields, or within the statics; an RVA where `rva`."""
    static: bool
    thread_static: bool
    rva: bool


class Fields:
    """Field lists, each read once. Methods raise NotRead."""

    def __init__(self, types: TypeTable) -> None:
        self._types = types
        self._own: Dict[int, List[FieldDesc]] = {}
        self._shapes: Dict[int, Optional[Shape]] = {}

    def own(self, method_table: int) -> List[FieldDesc]:
        """What the type itself declares."""
        canonical = self._types.canonical(method_table)
        if canonical not in self._own:
            self._own[canonical] = self._read(canonical)
        return self._own[canonical]

    def _read(self, method_table: int) -> List[FieldDesc]:
        types = self._types
        types.eeclass(method_table)
        if types.table(method_table).is_array:
            return []
        try:
            metadata = types.module(method_table).metadata()
        except NotRead:
            shape = self.shape(method_table)
            if shape is None:
                raise
            return self._by_shape(method_table, shape)
        names = {f.rid: f.name for f in metadata.fields(types.rid(method_table)) if not f.flags & LITERAL}
        if not names:
            return []
        if len(names) > _FIELDS:
            raise NotRead(f"the type 0x{method_table:x} has more than {_FIELDS} fields")
        at = types.field_list(method_table)
        found: List[FieldDesc] = []
        for index in range(len(names)):
            word, low, high = self._desc(at + _DESC * index)
            rid = low & 0xFFFFFF
            if rid not in names or word & ~3 != method_table:
                raise NotRead(f"the FieldDesc 0x{at + _DESC * index:x} does not agree with the metadata")
            found.append(
                FieldDesc(
                    names[rid], at + _DESC * index, method_table, rid, high >> 27, high & 0x7FFFFFF,
                    bool(low & 1 << 24), bool(low & 1 << 25), bool(low & 1 << 26),
                )
            )  # fmt: skip
        return found

    def shape(self, method_table: int) -> Optional[Shape]:
        """What the type is by its fields' layout alone: for those whose metadata lacks."""
        if method_table not in self._shapes:
            try:
                table, module = self._types.table(method_table), self._types.module(method_table)
                plain = not table.has_components and not table.is_generic
                name = module.name if plain else None
                self._shapes[method_table] = (
                    shape_of(name, table.base_size, lambda count: self._laid_out(method_table, count)) if name else None
                )
            except NotRead:
                self._shapes[method_table] = None
        return self._shapes[method_table]

    def is_one_number(self, method_table: int) -> bool:
        """A struct of one i4: what a SpinLock is, and little else that threads run methods of. Never raises."""
        try:
            table = self._types.table(method_table)
            if not table.is_value_type or table.is_generic or table.base_size != 0x18:
                return False
            found = self._laid_out(method_table, 2)
        except NotRead:
            return False
        return found[:1] == [(0x8, 0, False)] and all(static for _, _, static in found[1:])

    def has_struct_at(self, method_table: int, offset: int) -> bool:
        """Whether an own field of the type is a struct and begins there. Needs no metadata; never raises."""
        try:
            return (0x11, offset, False) in self._laid_out(method_table, _LAID_OUT)
        except NotRead:
            return False

    def _laid_out(self, method_table: int, count: int) -> List[Tuple[int, int, bool]]:
        at = self._types.field_list(method_table)
        found: List[Tuple[int, int, bool]] = []
        for index in range(count):
            word, low, high = self._desc(at + _DESC * index)
            if word & ~3 != method_table or not high >> 27:
                break  # what lies behind the list may begin with the same word, and no field is of type 0
            found.append((high >> 27, high & 0x7FFFFFF, bool(low & 1 << 24)))
        return found

    def _by_shape(self, method_table: int, shape: Shape) -> List[FieldDesc]:
        """The instance fields that the shape names, and its thread static, which is the only one."""
        at = self._types.field_list(method_table)
        found: List[FieldDesc] = []
        for index in range(len(shape.fields) + _STATICS):
            word, low, high = self._desc(at + _DESC * index)
            if word & ~3 != method_table or not high >> 27:
                break
            inside, of_thread = index < len(shape.fields), bool(low & 1 << 25)
            name = shape.fields[index].name if inside else shape.thread_static if of_thread else None
            if name is not None:
                found.append(
                    FieldDesc(
                        name, at + _DESC * index, method_table, low & 0xFFFFFF, high >> 27, high & 0x7FFFFFF,
                        bool(low & 1 << 24), of_thread, bool(low & 1 << 26),
                    )
                )  # fmt: skip
        return found

    def _desc(self, at: int) -> Tuple[int, int, int]:
        word, both = self._types.words.many(at, 2, "a FieldDesc")
        return word, both & 0xFFFFFFFF, both >> 32

    def all(self, method_table: int) -> List[FieldDesc]:
        """Instance fields, the root's first. A parent whose list lacks makes the answer NotRead: none is left out."""
        chain = [*reversed(self._types.parents(method_table)), method_table]
        return [field for table in chain for field in self.own(table) if not field.static]

    def find(self, method_table: int, name: str) -> FieldDesc:
        """The field of this name, the most derived one."""
        for table in (method_table, *self._types.parents(method_table)):
            for field in self.own(table):
                if field.name == name:
                    return field
        raise NotRead(f"the type 0x{method_table:x} has no field {name}", absent=True)

    def instance_offset(self, method_table: int, name: str) -> int:
        """Bytes from the object's address to the field."""
        field = self.find(method_table, name)
        if field.static:
            raise NotRead(f"{name} is a static field", absent=True)
        return self.offset_of(field)

    @staticmethod
    def offset_of(field: FieldDesc) -> int:
        if field.offset > _LARGEST_OFFSET:
            raise NotRead(f"the offset of {field.name} is not laid out yet")
        return OBJECT_HEADER + field.offset

    def module(self, field: FieldDesc) -> RuntimeModule:
        return self._types.module(field.declaring)
