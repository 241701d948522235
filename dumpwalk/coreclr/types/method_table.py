"""MethodTable and EEClass: what kind of type, which module and TypeDef, parent, generic arguments, element type.

Sources: src/coreclr/vm/methodtable.h and class.h, typedesc.h; docs/design/datacontracts/RuntimeTypeSystem.md. Offsets
that all versions share stand here, those that differ in managed_layout.py.
"""

from __future__ import annotations

from typing import Dict, List, Optional

from dumpwalk.coreclr.managed_layout import ManagedLayout
from dumpwalk.coreclr.metadata.modules import AssemblyFiles, Learned, RuntimeModule
from dumpwalk.coreclr.words import NotRead, Words

_FLAGS, _BASE_SIZE, _FLAGS2, _RID16, _VIRTUALS, _PARENT, _MODULE, _AUXILIARY, _CLASS, _INSTANCE = (
    0x0, 0x4, 0x8, 0xA, 0xC, 0x10, 0x18, 0x20, 0x28, 0x30,
)  # fmt: skip
SIZE = 0x40
"""sizeof(MethodTable); the vtable follows."""
_CLASS_TABLE, _FIELD_LIST = 0x10, 0x18
"""EEClass: back pointer, FieldDesc list."""
_VECTOR_BASE, _BOUNDS = 0x18, 8
"""BaseSize of an array without bounds (header, method table, length), and what each dimension adds: length and lower bound, 4
bytes each (array.cpp, CreateArrayMethodTable)."""
_COMPONENTS, _ARRAY_MASK, _ARRAY, _VECTOR = 0x80000000, 0xC0000, 0x80000, 0x20000
_GENERIC_MASK, _INSTANTIATED, _SHARED, _DEFINITION = 0x30, 0x10, 0x20, 0x30
_CATEGORY, _VALUE_TYPE, _NULLABLE, _PRIMITIVE, _TRUE_PRIMITIVE = 0xF0000, 0x40000, 0x50000, 0x60000, 0x70000
_MODULE_OVERRIDE = 0x10
_RID_OVERFLOW = 0xFFFF
_PARENTS = 256
"""Depth of inheritance followed."""
_ARGUMENTS = 128
"""Type arguments of one instantiation; the runtime's own names cut far below it."""


class MethodTable:
    """One method table. Methods raise NotRead where memory lacks or does not look like one."""

    def __init__(self, address: int, words: Words) -> None:
        self.address = address
        self.words = words
        if address % 8:
            raise NotRead(f"0x{address:x} is no method table: it is not 8-aligned")
        self.flags = words.u32(address + _FLAGS, "the method table")
        self.base_size = words.u32(address + _BASE_SIZE, "the method table")

    @property
    def has_components(self) -> bool:
        """Arrays and strings: a length stands at +8 of the object."""
        return bool(self.flags & _COMPONENTS)

    @property
    def component_size(self) -> int:
        """Bytes of an element of an array or string."""
        return self.flags & 0xFFFF if self.has_components else 0

    @property
    def is_array(self) -> bool:
        return self.has_components and self.flags & _ARRAY_MASK == _ARRAY

    @property
    def is_vector(self) -> bool:
        """A one-dimensional array with lower bound 0."""
        return self.is_array and bool(self.flags & _VECTOR)

    @property
    def is_value_type(self) -> bool:
        return not self.is_array and self.flags & _ARRAY_MASK == _VALUE_TYPE

    @property
    def is_generic(self) -> bool:
        """An instantiation or a definition of a generic type."""
        return not self.has_components and bool(self.flags & _GENERIC_MASK)

    @property
    def is_definition(self) -> bool:
        """An open generic type."""
        return not self.has_components and self.flags & _GENERIC_MASK == _DEFINITION

    @property
    def parent(self) -> int:
        """Address of the parent's method table, 0 at the root."""
        return self.words.u64(self.address + _PARENT, "the method table") & ~3

    @property
    def auxiliary(self) -> int:
        return self.words.pointer(self.address + _AUXILIARY, "the method table's auxiliary data")

    @property
    def element(self) -> int:
        """Element TypeHandle of an array."""
        return self.words.pointer(self.address + _INSTANCE, "the array's element type")

    @property
    def per_instance(self) -> int:
        return self.words.pointer(self.address + _INSTANCE, "the generic type's dictionaries")


class TypeTable:
    """Method tables and modules of the process, each looked at once."""

    def __init__(self, words: Words, layout: ManagedLayout, files: Optional[AssemblyFiles] = None) -> None:
        self.words = words
        self.layout = layout
        self.learned = Learned(layout)
        self._files = files
        self._tables: Dict[int, MethodTable] = {}
        self._modules: Dict[int, RuntimeModule] = {}
        self._classes: Dict[int, int] = {}

    def table(self, address: int) -> MethodTable:
        if address not in self._tables:
            self._tables[address] = MethodTable(address, self.words)
        return self._tables[address]

    def eeclass(self, address: int) -> int:
        """The EEClass, through the canonical method table where there is one.

        Believed only when its back pointer is that canonical table, whose own class it is: this is what tells a method
        table from any other word.
        """
        if address not in self._classes:
            canonical = self.canonical(address)
            value = self.words.pointer(canonical + _CLASS, "the EEClass")
            back = self.words.u64(value + _CLASS_TABLE, "the EEClass")
            if value & 3 or back != canonical:
                raise NotRead(f"0x{address:x} is no method table: its EEClass does not point back")
            self._classes[address] = value
        return self._classes[address]

    def canonical(self, address: int) -> int:
        """The method table that shares code with this one; itself mostly. Low bits of the word tell (1, up to 7: 2)."""
        value = self.words.pointer(address + _CLASS, "the EEClass")
        tagged = value & 3
        if tagged == 0:
            return address
        if self.layout.range_list and tagged != 2 or not self.layout.range_list and tagged != 1:
            raise NotRead(f"the class word of 0x{address:x} is 0x{value:x}, which no method table has")
        return value & ~3

    def field_list(self, address: int) -> int:
        """The FieldDescs of a type."""
        return self.words.pointer(self.eeclass(address) + _FIELD_LIST, "the type's FieldDescs")

    def rank(self, address: int) -> int:
        """Dimensions of an array type, by what its objects' bounds take: the class keeps them in another place in each version."""
        table = self.table(address)
        return 1 if table.is_vector else (table.base_size - _VECTOR_BASE) // _BOUNDS

    def rid(self, address: int) -> int:
        """The TypeDef's row number; 0 for arrays."""
        if self.layout.wide_type_rid:
            return self.words.u32(address + _FLAGS2, "the method table") >> 8
        rid = self.words.u16(address + _RID16, "the method table")
        if rid == _RID_OVERFLOW:
            raise NotRead(f"the TypeDef of 0x{address:x} is in an overflow slot, which is not read")
        return rid

    def module(self, address: int) -> RuntimeModule:
        """The module that defines the type (for arrays of 9 and later: the element's)."""
        at = address + _MODULE
        table = self.table(address)
        if not self.layout.module_in_table and (table.is_generic or table.has_components):
            at = self._module_slot(address if table.is_array else self.canonical(address))
        return self.module_at(self.words.pointer(at, "the type's module"))

    def _module_slot(self, address: int) -> int:
        """Up to 8: where the definition's module differs from the loader's it has an optional slot of its own."""
        bits = self.words.u16(address + _FLAGS2, "the method table")
        if not bits & _MODULE_OVERRIDE:
            return address + _MODULE
        free = [place for place, bit in ((0x30, 2), (0x38, 4)) if not bits & bit]
        behind = SIZE + 8 * ((self.words.u16(address + _VIRTUALS) + 7) // 8)
        slots = [*free, behind, behind + 8, behind + 16]
        return address + slots[sum(1 for bit in (4, 8) if bits & bit)]

    def module_at(self, address: int) -> RuntimeModule:
        if address not in self._modules:
            if address % 8:
                raise NotRead(f"0x{address:x} is no module: it is not 8-aligned")
            self._modules[address] = RuntimeModule(address, self.words, self.layout, self.learned, self._files)
        return self._modules[address]

    def modules(self) -> List[RuntimeModule]:
        """Those met so far."""
        return list(self._modules.values())

    def parents(self, address: int) -> List[int]:
        """Method tables from this type's parent to the root. Raises NotRead for a circle."""
        found: List[int] = []
        at = self.table(address).parent
        while at:
            if at in found or at == address or len(found) >= _PARENTS:
                raise NotRead(f"the parents of 0x{address:x} run in a circle")
            found.append(at)
            at = self.table(at).parent
        return found

    def arguments(self, address: int) -> List[int]:
        """TypeHandles of a generic type's arguments."""
        info = self.table(address).per_instance
        dictionaries, count = self.words.u16(info - 4, "the dictionaries"), self.words.u16(info - 2, "the dictionaries")
        if not 1 <= dictionaries <= _PARENTS or not 1 <= count <= _ARGUMENTS:
            raise NotRead(f"the generic arguments of 0x{address:x} are damaged")
        dictionary = self.words.pointer(info + 8 * (dictionaries - 1), "the type's dictionary")
        return list(self.words.many(dictionary, count, "the type's dictionary"))
