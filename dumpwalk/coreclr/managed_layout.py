"""Offsets in the runtime's structures for code and types, by version, as hypotheses.

A row is where a reader looks first. The data contract (9 and later) overrides it field by field; what a reader finds with
it must agree with itself (an image's CLI header inside the image, an info that points back to its module, a lookup map as
long as its metadata table), else the place is searched for by that form. So servicing builds and versions without a row
(5, 6, 7, 11) are read too, or said not to be.

Sources: data contracts of 9.0.5 and 10.0.12; src/coreclr/vm/ceeload.h, codeman.h, method.hpp, methodtable.h, class.h,
peimage.h, readytoruninfo.h; offsets read in cores of the builds named in `seen_on`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Optional, Tuple

from dumpwalk.coreclr.contract import Contract
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class ManagedLayout:
    """Offsets in bytes."""

    name: str
    majors: Tuple[int, int]
    seen_on: str
    # Module
    pe_assembly: int
    ready_to_run_info: int
    type_map: int
    method_map: int
    field_map: int
    dynamic_metadata: int
    local_module: Optional[int]
    """DomainLocalModule, which holds the statics up to 8."""
    # PEImage
    flat_layout: int
    loaded_layout: int
    # ReadyToRunInfo
    functions: int
    """RUNTIME_FUNCTION table; its count (u32) follows."""
    entry_map: int
    """Entry point to MethodDesc, a HashMap."""
    composite: Optional[int]
    hot_cold: Optional[int]
    """Hot/cold map; its count (u32) follows."""
    # MethodDesc
    method_desc_size: int
    token_bits: int
    wide_type_rid: bool
    """TypeDef number in MethodTable flags 2 (9 and later), else a u16 at 0xA."""
    module_in_table: bool
    """MethodTable + 0x18 is the module (9 and later), else the loader's module with overrides."""
    dynamic_inline: bool
    """Saved metadata of Reflection.Emit: {u32 size, bytes}; before, through a buffer object."""
    range_list: bool
    """Code ranges in one list (up to 7), else in a map of five levels."""
    linear_nibbles: bool
    """Nibble map searched backwards without bound (up to 9), else with pointers (10)."""
    thread_data: Optional[int] = None
    """Thread to its thread-local statics (10)."""


_ROWS: Tuple[ManagedLayout, ...] = (
    ManagedLayout(
        "10.0", (10, 11), "10.0.12 linux-x64", 0xD8, 0x2C0, 0x1A0, 0x1C0, 0x200, 0x348, None, 0x78, 0x80,
        0x50, 0x168, 0x28, 0x60, 16, 12, True, True, True, False, False, 568,
    ),
    ManagedLayout(
        "9.0", (9, 9), "9.0.5, 9.0.20 linux-x64", 0x118, 0x3D8, 0x270, 0x290, 0x2D0, 0x460, None, 0x70, 0x78,
        0x50, 0x1B0, 0x28, None, 16, 12, True, True, True, False, True,
    ),
    ManagedLayout(
        "8.0", (8, 8), "8.0.4, 8.0.31 linux-x64", 0x110, 0x480, 0x2F0, 0x310, 0x330, 0x698, 0x4C8, 0x70, 0x78,
        0x50, 0x1B0, 0x28, None, 8, 12, False, False, False, False, True,
    ),
    ManagedLayout(
        "3.1", (3, 3), "3.1.23 linux-x64", 0x10, 0x4C0, 0x2B8, 0x2F8, 0x318, 0x678, 0x518, 0x48, 0x58,
        0x18, 0x150, None, None, 8, 14, False, False, False, True, True,
    ),
)  # fmt: skip

_FROM_CONTRACT = (
    ("pe_assembly", "Module", "PEAssembly"),
    ("ready_to_run_info", "Module", "ReadyToRunInfo"),
    ("type_map", "Module", "TypeDefToMethodTableMap"),
    ("method_map", "Module", "MethodDefToDescMap"),
    ("field_map", "Module", "FieldDefToDescMap"),
    ("dynamic_metadata", "Module", "DynamicMetadata"),
    ("loaded_layout", "PEImage", "LoadedImageLayout"),
    ("functions", "ReadyToRunInfo", "RuntimeFunctions"),
    ("entry_map", "ReadyToRunInfo", "EntryPointToMethodDescMap"),
    ("composite", "ReadyToRunInfo", "CompositeInfo"),
    ("hot_cold", "ReadyToRunInfo", "HotColdMap"),
    ("method_desc_size", "MethodDesc", "!"),
    ("thread_data", "Thread", "ThreadLocalDataPtr"),
)


def layout_for(major: Optional[int], contract: Optional[Contract]) -> ManagedLayout:
    """The row to begin with, with what the contract says in place of the row's own."""
    row = next((r for r in _ROWS if major is not None and r.majors[0] <= major <= r.majors[1]), None)
    if row is None:
        nearest = _ROWS[0] if major is None or major > 9 else (_ROWS[2] if major == 7 else _ROWS[3])
        # 5 to 7 have the code range list and the MethodTable of 3.1; offsets in Module are searched for
        row = replace(nearest, name=f"offsets of {nearest.name}", range_list=major in (5, 6, 7) or nearest.range_list)
    told: Dict[str, int] = {}
    for name, type_name, field_name in _FROM_CONTRACT if contract is not None else ():
        assert contract is not None
        found = contract.offset(type_name, field_name)
        if field_name == "!":
            described = contract.types.get(type_name)
            found = described.size if described is not None else None
        if found is not None:
            told[name] = found
    if contract is not None:
        bits = contract.values.get("MethodDescTokenRemainderBitCount")
        if isinstance(bits, int) and 0 < bits < 24:
            told["token_bits"] = bits
        if told:
            row = replace(row, name=f"data contract, else {row.name}")
    changes: Dict[str, Any] = dict(told)
    return replace(row, **changes)


def verified(major: Optional[int]) -> bool:
    """Whether this version's names were compared with another reader's on real cores."""
    return major in (3, 8, 9, 10)
