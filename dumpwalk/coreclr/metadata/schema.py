"""Columns of the metadata tables and the tables that coded indexes lead to: ECMA-335, 6th edition, II.22 and II.24.2.6.

The pointer tables 3, 5, 7, 19, 22 exist in uncompressed streams (`#-`) only (src/coreclr/md/inc/metamodelcolumndefs.h).
"""

from __future__ import annotations

from typing import Dict, Tuple, Union

TYPE_REF, TYPE_DEF, FIELD_PTR, FIELD, METHOD_PTR, METHOD_DEF = 1, 2, 3, 4, 5, 6
MODULE, ASSEMBLY, NESTED_CLASS, TYPE_SPEC = 0, 0x20, 0x29, 0x1B

_T, _S, _G, _B = "table", "#Strings", "#GUID", "#Blob"
Column = Union[int, str, Tuple[str, int]]
"""A width in bytes, a heap, ("table", number) or the name of a coded index."""

CODED: Dict[str, Tuple[int, Tuple[int, ...]]] = {
    "TypeDefOrRef": (2, (2, 1, 0x1B)),
    "HasConstant": (2, (4, 8, 0x17)),
    "HasCustomAttribute": (
        5,
        (6, 4, 1, 2, 8, 9, 0xA, 0, 0xE, 0x17, 0x14, 0x11, 0x1A, 0x1B, 0x20, 0x23, 0x26, 0x27, 0x28, 0x2A, 0x2C, 0x2B),
    ),
    "HasFieldMarshal": (1, (4, 8)),
    "HasDeclSecurity": (2, (2, 6, 0x20)),
    "MemberRefParent": (3, (2, 1, 0x1A, 6, 0x1B)),
    "HasSemantics": (1, (0x14, 0x17)),
    "MethodDefOrRef": (1, (6, 0xA)),
    "MemberForwarded": (1, (4, 6)),
    "Implementation": (2, (0x26, 0x23, 0x27)),
    "CustomAttributeType": (3, (6, 0xA)),
    "ResolutionScope": (2, (0, 0x1A, 0x23, 1)),
    "TypeOrMethodDef": (1, (2, 6)),
}
"""Tag bits, and the tables a tag may name."""

TABLES: Dict[int, Tuple[Column, ...]] = {
    0x00: (2, _S, _G, _G, _G),
    0x01: ("ResolutionScope", _S, _S),
    0x02: (4, _S, _S, "TypeDefOrRef", (_T, 4), (_T, 6)),
    0x03: ((_T, 4),),
    0x04: (2, _S, _B),
    0x05: ((_T, 6),),
    0x06: (4, 2, 2, _S, _B, (_T, 8)),
    0x07: ((_T, 8),),
    0x08: (2, 2, _S),
    0x09: ((_T, 2), "TypeDefOrRef"),
    0x0A: ("MemberRefParent", _S, _B),
    0x0B: (2, "HasConstant", _B),
    0x0C: ("HasCustomAttribute", "CustomAttributeType", _B),
    0x0D: ("HasFieldMarshal", _B),
    0x0E: (2, "HasDeclSecurity", _B),
    0x0F: (2, 4, (_T, 2)),
    0x10: (4, (_T, 4)),
    0x11: (_B,),
    0x12: ((_T, 2), (_T, 0x14)),
    0x13: ((_T, 0x14),),
    0x14: (2, _S, "TypeDefOrRef"),
    0x15: ((_T, 2), (_T, 0x17)),
    0x16: ((_T, 0x17),),
    0x17: (2, _S, _B),
    0x18: (2, (_T, 6), "HasSemantics"),
    0x19: ((_T, 2), "MethodDefOrRef", "MethodDefOrRef"),
    0x1A: (_S,),
    0x1B: (_B,),
    0x1C: (2, "MemberForwarded", _S, (_T, 0x1A)),
    0x1D: (4, (_T, 4)),
    0x1E: (4, 4),
    0x1F: (4,),
    0x20: (4, 2, 2, 2, 2, 4, _B, _S, _S),
    0x21: (4,),
    0x22: (4, 4, 4),
    0x23: (2, 2, 2, 2, 4, _B, _S, _S, _B),
    0x24: (4, (_T, 0x23)),
    0x25: (4, 4, 4, (_T, 0x23)),
    0x26: (4, _S, _B),
    0x27: (4, 4, _S, _S, "Implementation"),
    0x28: (4, 4, _S, "Implementation"),
    0x29: ((_T, 2), (_T, 2)),
    0x2A: (2, 2, "TypeOrMethodDef", _S),
    0x2B: ("MethodDefOrRef", _B),
    0x2C: ((_T, 0x2A), "TypeDefOrRef"),
}
