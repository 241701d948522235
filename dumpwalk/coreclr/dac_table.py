"""g_dacTable: addresses of the runtime's globals, written by the runtime for debuggers, without names or a count.

Order: src/coreclr/inc/dacvars.h, then vptr_list.h; so the meaning of a slot depends on the version, which the size of
the exported symbol tells. Entries are 64-bit load addresses since 8, 32-bit offsets from the image base up to 6. Slots
were checked on the images named in the rows, by decoding DacGlobals::InitializeEntries and in cores.
"""

from __future__ import annotations

from dataclasses import field
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from dumpwalk.core.memory import read_u64
from dumpwalk.core.process import Process
from dumpwalk.coreclr.dispatch.locate import Candidate
from dumpwalk.coreclr.image_macho import MachOImage
from dumpwalk.coreclr.runtime import DAC_TABLE_SYMBOL, RuntimeInfo
from dumpwalk.dataclass import dataclass

MANAGER = "VirtualCallStubManagerManager::g_pManager"
THREAD_STORE = "ThreadStore::s_pThreadStore"
FINALIZER_THREAD = "g_pFinalizerThread"
SUSPENSION_THREAD = "g_pSuspensionThread"

_PROBE = 0x200
"""Bytes either side of g_pManager searched for g_resolveCache: both are statics of virtualcallstub.cpp."""


@dataclass(frozen=True)
class TableRow:
    """What one version's table holds."""

    major: int
    sizes: Tuple[int, ...]
    """sizeof(g_dacTable) in bytes."""
    entry: int
    """Bytes of an entry: 8, or 4 for an offset from the image base."""
    slots: Mapping[str, int]
    cache_delta: int
    """g_resolveCache from g_pManager, bytes; NumCallStubs stands between them since 8."""
    seen_on: str


def _slots(manager: int, store: int, finalizer: Optional[int], suspension: Optional[int]) -> Mapping[str, int]:
    rows = ((MANAGER, manager), (THREAD_STORE, store), (FINALIZER_THREAD, finalizer), (SUSPENSION_THREAD, suspension))
    return {name: slot for name, slot in rows if slot is not None}


ROWS: Tuple[TableRow, ...] = (
    TableRow(10, (0x408,), 8, _slots(13, 15, 16, 17), 0x18, "10.0.9, 10.0.12, 10.0.14; Linux, musl, macOS; x64, arm64"),
    TableRow(9, (0x4F0,), 8, _slots(14, 16, 17, 18), 0x18, "9.0.5, 9.0.20 linux-x64"),
    TableRow(8, (0x4E0, 0x4E8), 8, _slots(14, 16, 17, 18), 0x18, "8.0.4, 8.0.30, 8.0.31 linux-x64, 8.0.30 osx-x64"),
    TableRow(6, (0x2C0,), 4, _slots(15, 17, None, None), 0x10, "6.0.36 linux-x64"),
    TableRow(3, (0x2C4, 0x2C8), 4, _slots(15, 16, 31, 32), 0x10, "3.1.23 linux-x64 (local symbol)"),
)


@dataclass
class DacTable:
    """The table of this process. `globals` holds load addresses of the globals that its row names."""

    address: int
    size: Optional[int]
    row: Optional[TableRow]
    """None when the size is none that is known: then no slot is named."""
    globals: Dict[str, int] = field(default_factory=dict)
    entries: List[int] = field(default_factory=list)
    """All entries as load addresses, in order; of an unknown row too."""
    why: str = ""
    """What is missing, where something is."""


def read_dac_table(process: Process, runtime: RuntimeInfo) -> Optional[DacTable]:
    """The table as the dump holds it; None when no symbol leads to it. Only entries that lie in the image are named."""
    location = runtime.dac_table
    if location is None:
        address = process.symbols.address_of([DAC_TABLE_SYMBOL, "_" + DAC_TABLE_SYMBOL], runtime.image)
        if address is None:
            return None
        location = (address, None)
    address, size = location
    if size is None and isinstance(runtime.image, MachOImage):
        symbol = runtime.image.symbol(DAC_TABLE_SYMBOL)
        size = runtime.image.size_to_next_symbol(symbol) if symbol is not None else None
    row = _row(size, runtime.major)
    table = DacTable(address, size, row)
    width = row.entry if row is not None else 8
    count = (size or (row.sizes[0] if row is not None else 0)) // width
    data = process.memory.read(address, min(count, 4096) * width) if count else None
    if data is None:
        table.why = "g_dacTable is not in the dump" if count else "the table's size is not known"
        return table
    values = [int.from_bytes(data[at : at + width], "little") for at in range(0, len(data) - width + 1, width)]
    table.entries = [value + runtime.base if width == 4 and value else value for value in values]
    if row is None:
        table.why = f"no known version has a g_dacTable of {size} bytes"
        return table
    low, high = runtime.image.span()
    for name, slot in row.slots.items():
        if slot < len(table.entries) and low <= table.entries[slot] < high:
            table.globals[name] = table.entries[slot]
    if not table.globals:
        table.why = "its entries do not point into the runtime's image"
    return table


def _row(size: Optional[int], major: Optional[int]) -> Optional[TableRow]:
    """The row of this size; of this version only where no size is known."""
    for row in ROWS:
        if size in row.sizes:
            return row
    return next((row for row in ROWS if size is None and row.major == major), None)


def resolve_cache_candidates(process: Process, runtime: RuntimeInfo, table: DacTable) -> Iterator[Candidate]:
    """Places that may be g_resolveCache, the known neighbour of g_pManager first, then all within 0x200 bytes of it.

    Each is the address of a pointer; the caller audits what it points to. Where the table's version is not known, every
    slot that g_pManager has been in is tried.
    """
    managers: List[Tuple[int, str, Tuple[int, ...]]] = []
    if MANAGER in table.globals and table.row is not None:
        at = table.globals[MANAGER]
        managers.append((at, f"g_dacTable[{table.row.slots[MANAGER]}]", (table.row.cache_delta, 0x18, 0x10)))
    elif table.entries:
        low, high = runtime.image.span()
        for slot in range(10, min(20, len(table.entries))):
            if low <= table.entries[slot] < high:
                managers.append((table.entries[slot], f"g_dacTable[{slot}], of an unknown version", (0x18, 0x10)))
    seen = set()
    for manager, how, first in managers:
        for delta in (*first, *range(-_PROBE, _PROBE + 8, 8)):
            address = manager + delta
            if address in seen or address % 8:
                continue
            seen.add(address)
            value = read_u64(process.memory, address)
            if value and value % 8 == 0:
                yield Candidate(address, f"{how} {delta:+#x}")
