"""Names out of metadata: types with their nesting, methods with their owner, fields. ECMA-335 II.22."""

from __future__ import annotations

from typing import Dict, List, Optional, Set, Union

from dumpwalk.coreclr.metadata.schema import (
    FIELD,
    FIELD_PTR,
    METHOD_DEF,
    METHOD_PTR,
    MODULE,
    NESTED_CLASS,
    TYPE_DEF,
)
from dumpwalk.coreclr.metadata.tables import Tables, compressed
from dumpwalk.coreclr.words import NotRead, Unknown, Words
from dumpwalk.dataclass import dataclass

_NESTING = 64
"""Types nested in types; compilers stop at a handful."""
LITERAL, STATIC = 0x40, 0x10
"""FieldAttributes (II.23.1.5)."""


@dataclass(frozen=True)
class FieldRow:
    rid: int
    name: str
    flags: int


class Metadata:
    """The names of one module. Every method raises NotRead where a page lacks or a row does not exist."""

    def __init__(self, words: Words, root: int, size: int, source: str) -> None:
        self.tables = Tables(words, root, size)
        self.source = source
        """dump, or the assembly file's path."""
        self._types: Dict[int, str] = {}
        self._by_name: Optional[Dict[int, List[int]]] = None
        self._found: Dict[str, Union[int, Unknown]] = {}
        self._pointers: Dict[int, Dict[int, int]] = {}

    def type_name(self, rid: int) -> str:
        """`Namespace.Outer+Inner` of a TypeDef; generic types carry their arity."""
        if rid not in self._types:
            self._types[rid] = self._spell(rid)
        return self._types[rid]

    def _spell(self, rid: int) -> str:
        parts: List[str] = []
        seen: Set[int] = set()
        namespace = ""
        at: Optional[int] = rid
        while at is not None:
            if at in seen or len(seen) >= _NESTING:
                raise NotRead(f"TypeDef {rid:#x} is nested in itself")
            seen.add(at)
            _, name, space, *_ = self.tables.row(TYPE_DEF, at)
            parts.append(self.tables.string(name))
            namespace = self.tables.string(space)
            at = self.enclosing(at)
        full = "+".join(reversed(parts))
        return f"{namespace}.{full}" if namespace else full

    def enclosing(self, rid: int) -> Optional[int]:
        """The TypeDef that this one is nested in. NestedClass is sorted by its first column."""
        low, high = 1, self.tables.count(NESTED_CLASS)
        while low <= high:
            middle = (low + high) // 2
            nested, outer = self.tables.row(NESTED_CLASS, middle)
            if nested == rid:
                return outer
            low, high = (middle + 1, high) if nested < rid else (low, middle - 1)
        return None

    def method_name(self, rid: int) -> str:
        return self.tables.string(self.tables.row(METHOD_DEF, rid)[3])

    def method_signature(self, rid: int) -> bytes:
        return self.tables.blob(self.tables.row(METHOD_DEF, rid)[4])

    def generic_arity(self, rid: int) -> int:
        """Number of a method's own type parameters, from its signature (II.23.2.1)."""
        signature = self.method_signature(rid)
        return compressed(signature, 1)[0] if signature and signature[0] & 0x10 else 0

    def owner(self, rid: int) -> int:
        """TypeDef of a MethodDef: the last one whose MethodList does not lie behind it."""
        place = self._place(METHOD_PTR, rid)
        low, high = 1, self.tables.count(TYPE_DEF)
        while low < high:
            middle = (low + high + 1) // 2
            if self.tables.row(TYPE_DEF, middle)[5] <= place:
                low = middle
            else:
                high = middle - 1
        return low

    def owns(self, type_rid: int, method_rid: int) -> bool:
        """Whether this TypeDef's list of methods holds the MethodDef: two rows, no search."""
        place = self._place(METHOD_PTR, method_rid)
        first = self.tables.row(TYPE_DEF, type_rid)[5]
        last = self._list_end(type_rid, 5, METHOD_DEF, METHOD_PTR)
        return first <= place < last

    def fields(self, type_rid: int) -> List[FieldRow]:
        """The fields that a TypeDef declares, in the metadata's order."""
        first = self.tables.row(TYPE_DEF, type_rid)[4]
        last = self._list_end(type_rid, 4, FIELD, FIELD_PTR)
        found = []
        for place in range(first, min(last, first + 65536)):
            rid = place
            if self.tables.uncompressed and self.tables.count(FIELD_PTR):
                rid = self.tables.row(FIELD_PTR, place)[0]
            flags, name, _ = self.tables.row(FIELD, rid)
            found.append(FieldRow(rid, self.tables.string(name), flags))
        return found

    def field_signature(self, rid: int) -> bytes:
        return self.tables.blob(self.tables.row(FIELD, rid)[2])

    def _list_end(self, type_rid: int, column: int, members: int, pointers: int) -> int:
        """One past the last member of a type."""
        if type_rid < self.tables.count(TYPE_DEF):
            return self.tables.row(TYPE_DEF, type_rid + 1)[column]
        indirect = self.tables.uncompressed and self.tables.count(pointers)
        return (self.tables.count(pointers) if indirect else self.tables.count(members)) + 1

    def _place(self, pointers: int, rid: int) -> int:
        """A member's place in the lists: its row number, or its row in the pointer table where there is one."""
        if not self.tables.uncompressed or not self.tables.count(pointers):
            return rid
        if pointers not in self._pointers:
            rows = self.tables.all_rows(pointers)
            self._pointers[pointers] = {row[0]: place for place, row in enumerate(rows, 1)}
        try:
            return self._pointers[pointers][rid]
        except KeyError:
            raise NotRead(f"metadata row {rid} is in no type's list") from None

    def find_type(self, full_name: str) -> int:
        """TypeDef of `Namespace.Outer+Inner`. NotRead(absent) when all names were read and none is this. Looked for once."""
        if full_name not in self._found:
            try:
                self._found[full_name] = self._find_type(full_name)
            except NotRead as error:
                self._found[full_name] = Unknown(error.why, error.absent)
        known = self._found[full_name]
        if isinstance(known, Unknown):
            raise NotRead(known.why, known.absent)
        return known

    def _find_type(self, full_name: str) -> int:
        named = self._rows_by_name()
        own = full_name.rsplit("+", 1)[-1]  # the namespace is not part of the name, and a name may hold a point
        rids: Set[int] = set()
        for place in self.tables.strings_ending(own.encode()):
            rids.update(named.get(place, ()))
        for rid in sorted(rids):
            if self.type_name(rid) == full_name:
                return rid
        if not self.tables.hold_all_strings():
            raise NotRead(f"not all names of the metadata are in the dump, {full_name} is not among those that are")
        raise NotRead(f"the metadata defines no type {full_name}", absent=True)

    def _rows_by_name(self) -> Dict[int, List[int]]:
        """TypeDefs by the place of their own name among the strings: no name is read for it."""
        if self._by_name is None:
            self._by_name = {}
            for rid, row in enumerate(self.tables.all_rows(TYPE_DEF), 1):
                self._by_name.setdefault(row[1], []).append(rid)
        return self._by_name

    def module_name(self) -> str:
        return self.tables.string(self.tables.row(MODULE, 1)[1])
