"""The table of sync blocks: which object has which block.

An object whose header carries 0x08000000 (and not 0x04000000, a hash code) has its block's index in the low 26 bits; entry
i of the table is {SyncBlock*, Object*}, 16 bytes, and the block repeats its own index. Sources: src/coreclr/vm/syncblk.h
(ObjHeader, SyncTableEntry, AwareLock::m_dwSyncIndex), 3.1 to 10. The table is believed when an entry's block and the
entry's object both carry the entry's number; so it is known by its form where neither a name nor a table of the runtime's own
leads to it.
"""

from __future__ import annotations

import struct
from typing import Dict, Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, for_search, read_u32, read_u64, read_words
from dumpwalk.core.process import Process
from dumpwalk.coreclr.code.roots import writable_data
from dumpwalk.coreclr.contract import described_globals
from dumpwalk.coreclr.dac_table import read_dac_table
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.dataclass import dataclass

_SYMBOLS = ("g_pSyncTable", "_g_pSyncTable", "_ZL12g_pSyncTable")
_INDEX, _HASH, _NUMBER = 0x08000000, 0x04000000, (1 << 26) - 1
_PRECIOUS = 0x80000000
_ENTRY = 16
_PAGE = 0x1000
_STRANGE_RUN = 16
"""Entries in a row that are none after which the used part of the table has ended; fewer are damage."""
_PROBED = 64
"""First entries compared before a place is believed to be the table."""
OWN_INDEX_OFFSETS = (0x1C, 0x14)
"""m_dwSyncIndex in a SyncBlock: 8 and later; 3.1 to 6 (src/coreclr/vm/syncblk.h)."""


@dataclass(frozen=True)
class SyncEntry:
    """One used entry that checks out."""

    number: int
    block: int
    object: int
    own_index_at: int
    """Offset of the block's own index."""


@dataclass
class SyncTable:
    """The used entries."""

    address: Optional[int]
    """None where it was not found."""
    entries: List[SyncEntry]
    status: str
    """complete, partial or none."""
    why: str
    lacking: bool = False
    """Not found, and the dump lacks the places where the runtime may keep it, or is of a kind without heaps."""
    disagreeing: int = 0
    """Entries whose block or object does not carry their number."""


def header_index(header: int) -> Optional[int]:
    """The sync block number in an object's header word, or None."""
    if header & _INDEX and not header & _HASH and header & _NUMBER:
        return header & _NUMBER
    return None


def read_sync_table(around: Surroundings) -> SyncTable:
    """The process's sync blocks. Never raises on damaged memory."""
    told = looked_at = 0
    for address in _candidates(around):
        told += 1
        table = read_u64(around.process.memory, address)
        if table is None or (table and around.process.memory.read(table, _ENTRY) is None and _named(around, address)):
            continue  # not captured: the variable, or the table where the contract names the variable
        looked_at += 1
        if table and table % 8 == 0 and _is_table(around.process, table):
            return _walk(around.process, table, limits.SYNC_BLOCKS)
    found = None if looked_at else _by_form(around)
    if found is not None:
        return _walk(around.process, found, limits.SYNC_BLOCKS)
    core = around.process.corefile
    leads = told or around.runtime.major is None or around.runtime.major >= 8  # from 8 on its own tables lead to it
    if (leads and not looked_at) or (core is not None and core.kind in ("mini", "triage")):
        return SyncTable(None, [], "none", "the table of sync blocks is not in the dump", lacking=True)
    return SyncTable(None, [], "none", "the table of sync blocks was not found, or no object has one")


def _named(around: Surroundings, address: int) -> bool:
    """The contract says that the variable is there."""
    contract = around.view.contract
    return contract is not None and contract.addresses.get("SyncTableEntries") == address


def _candidates(around: Surroundings) -> Iterator[int]:
    """Addresses of the variable g_pSyncTable, the named ones first, then every global that the runtime describes."""
    contract = around.view.contract
    if contract is not None and "SyncTableEntries" in contract.addresses:
        yield contract.addresses["SyncTableEntries"]
    symbol = next((s for s in (around.runtime.image.symbol(n) for n in _SYMBOLS[:1]) if s is not None), None)
    if symbol is not None:
        yield symbol.address
    named = around.process.symbols.address_of(_SYMBOLS, around.runtime.image)
    if named is not None:
        yield named
    yield from (address for address in described_globals(around.runtime) if address)
    table = read_dac_table(around.process, around.runtime)
    if table is not None:
        low, high = around.runtime.image.span()
        yield from (entry for entry in table.entries if low <= entry < high)


def _by_form(around: Surroundings) -> Optional[int]:
    """The table that a word of the runtime's writable data leads to, where no name does: heap dumps of 3.1 without the runtime's
    file. When the table grew, the cache of sync blocks keeps the old one: the longest is in use."""
    process = around.process
    tried = for_search(process.memory)
    found: Dict[int, Tuple[int, int]] = {}
    for start, end in writable_data(process, around.runtime):
        for at in range(start, end, _PAGE):
            for index, value in enumerate(read_words(tried, at, min(_PAGE, end - at) // 8) or ()):
                if value % 8 or not 0x10000 < value < 1 << 47 or value in found:
                    continue
                data = tried.read(value + _ENTRY, _ENTRY)
                pair = struct.unpack("<QQ", data) if data is not None else (0, 0)
                if not _may_be_free(*pair) and not _may_be_used(*pair):
                    continue
                probe = _walk(process, value, _PROBED, tried)
                if len(probe.entries) > probe.disagreeing:
                    used = len(_walk(process, value, limits.SYNC_BLOCKS, tried).entries)
                    found[value] = (used, at + 8 * index)
    table = max(found, key=lambda table: found[table][0], default=None)
    return read_u64(process.memory, found[table][1]) if table is not None else None


def _is_table(process: Process, table: int) -> bool:
    found = _walk(process, table, _PROBED)
    return len(found.entries) > found.disagreeing


def _entry(memory: Memory, number: int, block: int, obj: int) -> Optional[SyncEntry]:
    header = read_u32(memory, obj - 4)
    if header is None or header_index(header) != number:
        return None
    for offset in OWN_INDEX_OFFSETS:
        own = read_u32(memory, block + offset)
        if own is not None and own & ~_PRECIOUS == number:
            return SyncEntry(number, block, obj, offset)
    return None


def _walk(process: Process, table: int, most: int, memory: Optional[Memory] = None) -> SyncTable:
    """Entries up to the first ones that can be none: behind the used ones lies memory that was never written."""
    memory = memory if memory is not None else process.memory
    found = SyncTable(table, [], "complete", "")
    damaged: List[int] = []
    strange: List[int] = []
    number = 1
    while len(strange) < _STRANGE_RUN and number < most:
        pair = _pair(memory, table, number)
        if pair is None:
            break
        block, obj = pair
        entry = None
        if _may_be_free(block, obj):
            pass  # memory that was never written can look so too: only a used entry shows that the table goes on
        elif _may_be_used(block, obj):
            entry = _entry(memory, number, block, obj)
            if entry is None:
                strange.append(number)
            else:
                found.entries.append(entry)
                damaged.extend(strange)
                strange = []
        else:
            strange.append(number)
        number += 1
    found.disagreeing = len(damaged)
    if number >= most:
        found.status, found.why = "partial", f"cut after {number} sync blocks"
    elif damaged:
        shown = ", ".join(map(str, damaged[:8])) + (" ..." if len(damaged) > 8 else "")
        found.status = "partial"
        found.why = f"{len(damaged)} sync blocks whose own number or whose object's header does not agree: {shown}"
    return found


def _may_be_free(block: int, obj: int) -> bool:
    """A freed entry keeps twice the number of the next free one, plus one, in the object's place."""
    return bool(obj & 1) and obj >> 1 <= _NUMBER


def _may_be_used(block: int, obj: int) -> bool:
    return not block % 8 and not obj % 8 and 0x10000 < block < 1 << 57 and 0x10000 < obj < 1 << 57


def _pair(memory: Memory, table: int, number: int) -> Optional[Tuple[int, int]]:
    data = memory.read(table + _ENTRY * number, _ENTRY)
    return struct.unpack("<QQ", data) if data is not None else None
