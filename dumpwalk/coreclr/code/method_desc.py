"""MethodDesc: its method table, metadata token, kind, own type arguments, a dynamic method's name.

Sources: src/coreclr/vm/method.hpp (MethodDesc, MethodDescChunk, InstantiatedMethodDesc, DynamicMethodDesc), method.inl;
docs/design/datacontracts/RuntimeTypeSystem.md. A MethodDesc is believed when its chunk holds it and its token is in the
list of the TypeDef of the chunk's method table.
"""

from __future__ import annotations

from typing import List, Optional

from dumpwalk.coreclr.metadata.names import Metadata
from dumpwalk.coreclr.types.method_table import TypeTable
from dumpwalk.coreclr.types.names import TypeNames
from dumpwalk.coreclr.words import NotRead
from dumpwalk.dataclass import dataclass

_CHUNK = 24
_REMAINDER, _INDEX, _FLAGS = 0, 2, 6
_CHUNK_SIZE, _CHUNK_COUNT, _CHUNK_RANGE = 0x10, 0x11, 0x12
_IL, _FCALL, _PINVOKE, _EEIMPL, _ARRAY, _INSTANTIATED, _COM, _DYNAMIC = range(8)
_KINDS = {
    _IL: "il", _FCALL: "fcall", _PINVOKE: "pinvoke", _EEIMPL: "delegate", _ARRAY: "array",
    _INSTANTIATED: "il", _COM: "com", _DYNAMIC: "dynamic",
}  # fmt: skip
_STUB_NAMES = "IL_STUB"
_NAME_BYTES = 1024
_METHOD_TOKEN = 0x06000000
_OTHER_BITS = (12, 14)


@dataclass(frozen=True)
class MethodName:
    """A method that an address belongs to."""

    type_name: str
    """Declaring type, `Namespace.Outer+Inner`, without type arguments; empty for dynamic methods and where it is not known."""
    name: str
    """Method name as the metadata has it; explicit implementations carry their interface's name."""
    arguments: str
    """`[A, B]` of the method's own type arguments, `` `2 `` where only their number is known, or empty."""
    type_arguments: str
    """`[A]` of the declaring type's arguments, as far as shared code has them; or empty."""
    module: Optional[str]
    """The assembly's file name."""
    path: Optional[str]
    """Where the process had it."""
    method_desc: int
    method_table: int
    token: int
    """0x06xxxxxx; 0 for dynamic methods."""
    kind: str
    """il, il-stub, dynamic, delegate, array, fcall, pinvoke, com."""
    grade: str = "corroborated"
    """proved: code range, chunk and the metadata's row agree; corroborated: no row to compare with."""

    @property
    def by_token(self) -> bool:
        """Its name is not at hand; its type may be known all the same (types/shapes.py)."""
        return self.token != 0 and self.name.endswith(f"!{self.token:08x}")

    @property
    def full(self) -> str:
        """`Namespace.Type.Method`: equal in two dumps of one bug. `Namespace.Type!06xxxxxx` where only the type is known."""
        if self.by_token and self.type_name:
            return f"{self.type_name}!{self.token:08x}"
        return f"{self.type_name}.{self.name}" if self.type_name else self.name


class _Disagrees(Exception):
    """Metadata and MethodDesc say different things: worse than unknown."""


class MethodNames:
    """Names MethodDescs. Raises NotRead; a token without metadata gives a name `Assembly.dll!06xxxxxx`."""

    def __init__(self, types: TypeTable, names: TypeNames) -> None:
        self._types = types
        self._names = names
        self._words = types.words
        self._bits: Optional[int] = None
        self._kept: dict[int, MethodName] = {}

    def name(self, method_desc: int) -> MethodName:
        if method_desc not in self._kept:
            self._kept[method_desc] = self._find(method_desc)
        return self._kept[method_desc]

    def _find(self, at: int) -> MethodName:
        words = self._words
        if at % 8:
            raise NotRead(f"0x{at:x} is no MethodDesc: it is not 8-aligned")
        index = words.u8(at + _INDEX, "the MethodDesc")
        kind = words.u16(at + _FLAGS, "the MethodDesc") & 7
        chunk = at - _CHUNK - 8 * index
        size, count = words.u8(chunk + _CHUNK_SIZE, "the MethodDesc's chunk"), words.u8(chunk + _CHUNK_COUNT)
        if 8 * index >= 8 * (size + 1) or count > size:
            raise NotRead(f"0x{at:x} is no MethodDesc: its chunk 0x{chunk:x} does not hold it")
        method_table = words.pointer(chunk, "the MethodDesc's method table")
        if kind == _DYNAMIC:
            return self._dynamic(at, method_table)
        self._types.eeclass(method_table)
        if kind == _ARRAY:
            return self._array(at, method_table)
        module = self._types.module(method_table)
        remainder = words.u16(at + _REMAINDER, "the MethodDesc")
        token_range = words.u16(chunk + _CHUNK_RANGE, "the MethodDesc's chunk")
        try:
            metadata = module.metadata()
            type_rid = self._types.rid(method_table)
            rid = self._rid(metadata, type_rid, remainder, token_range)
            if rid is None:
                raise _Disagrees
            type_name, name = metadata.type_name(type_rid), metadata.method_name(rid)
        except NotRead as error:
            return self._without_metadata(at, method_table, remainder, token_range, kind, error)
        except _Disagrees:
            why = f"MethodDesc 0x{at:x} and its type 0x{method_table:x} do not agree with the metadata"
            raise NotRead(why) from None
        own, of_type = self._arguments(at, kind, metadata, rid), self._type_arguments(method_table)
        file, path, token = module.name, module.path, _METHOD_TOKEN | rid
        shape = _KINDS.get(kind, "il")
        return MethodName(type_name, name, own, of_type, file, path, at, method_table, token, shape, "proved")

    def _rid(self, metadata: Metadata, type_rid: int, remainder: int, token_range: int) -> Optional[int]:
        """The MethodDef that the type owns: the token's halves are 12 or 14 bits, by version."""
        first = self._bits or self._types.layout.token_bits
        for bits in (first, *(b for b in _OTHER_BITS if b != first)):
            rid = token_of(remainder, token_range, bits)
            try:
                if metadata.owns(type_rid, rid):
                    self._bits = bits
                    return rid
            except NotRead as error:
                if not error.absent:
                    raise
            if self._bits:
                break
        return None

    def _without_metadata(
        self, at: int, method_table: int, remainder: int, token_range: int, kind: int, error: NotRead
    ) -> MethodName:
        """`Assembly.dll!06xxxxxx`: what is in every dump."""
        file = self._types.module(method_table).name
        if file is None:
            raise error
        token = _METHOD_TOKEN | token_of(remainder, token_range, self._types.layout.token_bits)
        path = self._types.module(method_table).path
        name = f"{file}!{token:08x}"
        shape = self._names.shape(method_table)
        owner = shape.type_name if shape is not None else ""
        return MethodName(owner, name, "", "", file, path, at, method_table, token, _KINDS.get(kind, "il"))

    def _dynamic(self, at: int, method_table: int) -> MethodName:
        """A DynamicMethod or a stub made of IL: no token, its name is a string."""
        place = at + self._types.layout.method_desc_size + 16
        data = self._words.text(self._words.pointer(place, "the dynamic method's name"), _NAME_BYTES, "its name")
        name = data.decode("utf-8", "backslashreplace")
        if not name or any(ord(c) < 0x20 for c in name):
            raise NotRead(f"the name of the dynamic method 0x{at:x} is damaged")
        kind = "il-stub" if name.startswith(_STUB_NAMES) else "dynamic"
        return MethodName("", name, "", "", None, None, at, method_table, 0, kind)

    def _array(self, at: int, method_table: int) -> MethodName:
        """Get, Set, Address and constructors of arrays have no token and no code of their own."""
        owner = self._names.name(method_table)
        return MethodName(owner, "(array method)", "", "", None, None, at, method_table, 0, "array")

    def _arguments(self, at: int, kind: int, metadata: Metadata, rid: int) -> str:
        """The method's own type arguments."""
        if kind != _INSTANTIATED:
            return ""
        base = at + self._types.layout.method_desc_size
        try:
            shape, count = self._words.u16(base + 16) & 7, self._words.u16(base + 18)
            if shape in (2, 3) and 0 < count <= 64:
                dictionary = self._words.pointer(base + 8, "the method's dictionary")
                handles: List[int] = list(self._words.many(dictionary, count, "the method's dictionary"))
                return self._names.arguments(handles)
            arity = metadata.generic_arity(rid)
        except NotRead:
            return ""
        return f"`{arity}" if arity else ""

    def _type_arguments(self, method_table: int) -> str:
        table = self._types.table(method_table)
        if not table.is_generic or table.is_definition:
            return ""
        try:
            return self._names.arguments(self._types.arguments(method_table))
        except NotRead:
            return ""


def token_of(remainder: int, token_range: int, bits: int) -> int:
    """The row number from the chunk's range and the MethodDesc's remainder."""
    return (token_range & (1 << (24 - bits)) - 1) << bits | remainder & (1 << bits) - 1
