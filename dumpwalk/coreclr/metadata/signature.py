"""Spells the type in a field's signature: ECMA-335 II.23.2."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

from dumpwalk.coreclr.metadata.names import Metadata
from dumpwalk.coreclr.metadata.schema import TYPE_DEF, TYPE_REF
from dumpwalk.coreclr.metadata.tables import compressed
from dumpwalk.coreclr.words import NotRead

_DEPTH = 12
_PARTS = 256
_NESTING = 64
_FIELD = 6
_PRIMITIVE = {
    0x1: "System.Void", 0x2: "System.Boolean", 0x3: "System.Char", 0x4: "System.SByte", 0x5: "System.Byte",
    0x6: "System.Int16", 0x7: "System.UInt16", 0x8: "System.Int32", 0x9: "System.UInt32", 0xA: "System.Int64",
    0xB: "System.UInt64", 0xC: "System.Single", 0xD: "System.Double", 0xE: "System.String", 0x16: "System.TypedReference",
    0x18: "System.IntPtr", 0x19: "System.UIntPtr", 0x1C: "System.Object",
}  # fmt: skip
_CLASS, _VALUE, _ARRAY, _GENERIC, _VECTOR, _POINTER, _BYREF = 0x12, 0x11, 0x14, 0x15, 0x1D, 0xF, 0x10
_VAR, _MVAR, _FUNCTION, _REQUIRED, _OPTIONAL, _PINNED = 0x13, 0x1E, 0x1B, 0x1F, 0x20, 0x45


class FieldType(NamedTuple):
    text: str
    token: Optional[Tuple[int, int]]
    """(table, row) of the TypeDef or TypeRef of a class or struct that is no instantiation; else None."""


def field_type(metadata: Metadata, rid: int) -> FieldType:
    """The declared type of a field. Raises NotRead."""
    blob = metadata.field_signature(rid)
    if not blob or blob[0] & 0xF != _FIELD:
        raise NotRead(f"field {rid:#x} has no signature of a field")
    reader = _Reader(metadata, blob)
    reader.at = 1
    text = reader.type(0)
    return FieldType(text, reader.outer)


def reference_name(metadata: Metadata, rid: int) -> str:
    """`Namespace.Outer+Inner` of a TypeRef."""
    parts: List[str] = []
    namespace = ""
    for _ in range(_NESTING):
        scope, name, space = metadata.tables.row(TYPE_REF, rid)
        parts.append(metadata.tables.string(name))
        namespace = metadata.tables.string(space)
        if scope & 3 != 3:
            full = "+".join(reversed(parts))
            return f"{namespace}.{full}" if namespace else full
        rid = scope >> 2
    raise NotRead(f"TypeRef {rid:#x} is nested in itself")


class _Reader:
    def __init__(self, metadata: Metadata, blob: bytes) -> None:
        self.metadata = metadata
        self.blob = blob
        self.at = 0
        self.parts = 0
        self.outer: Optional[Tuple[int, int]] = None

    def number(self) -> int:
        value, used = compressed(self.blob, self.at)
        self.at += used
        return value

    def type(self, depth: int) -> str:
        self.parts += 1
        if depth > _DEPTH or self.parts > _PARTS:
            raise NotRead("a signature is nested too deep")
        kind = self.number()
        while kind in (_REQUIRED, _OPTIONAL, _PINNED):
            if kind != _PINNED:
                self.number()
            kind = self.number()
        if kind in _PRIMITIVE:
            return _PRIMITIVE[kind]
        if kind in (_CLASS, _VALUE):
            return self.named(outer=depth == 0)
        if kind in (_VECTOR, _POINTER, _BYREF):
            return self.type(depth + 1) + {_VECTOR: "[]", _POINTER: "*", _BYREF: "&"}[kind]
        if kind == _GENERIC:
            self.number()
            name = self.named(outer=False)
            count = self.number()
            return f"{name}[{', '.join(self.type(depth + 1) for _ in range(min(count, 64)))}]"
        if kind in (_VAR, _MVAR):
            return f"{'!' if kind == _VAR else '!!'}{self.number()}"
        if kind == _ARRAY:
            element = self.type(depth + 1)
            rank = min(self.number(), 32)
            for _ in range(2):
                for _ in range(min(self.number(), 32)):
                    self.number()
            return element + ("[*]" if rank == 1 else "[" + "," * (rank - 1) + "]")
        if kind == _FUNCTION:
            return "fnptr"
        raise NotRead(f"a signature holds element type {kind:#x}")

    def named(self, outer: bool) -> str:
        coded = self.number()
        tag, rid = coded & 3, coded >> 2
        if tag == 0:
            if outer:
                self.outer = (TYPE_DEF, rid)
            return self.metadata.type_name(rid)
        if tag == 1:
            if outer:
                self.outer = (TYPE_REF, rid)
            return reference_name(self.metadata, rid)
        raise NotRead("a signature names a type that is no class")
