"""The one DispatchCache of a process: is the object at this address one, and what does it hold?

`examine` believes an address only when memory agrees on at least three independent things: the flags word of m_writeLock
right before the table, 4096 slots that are `empty` or aligned pointers, and keys that hash to the buckets they stand in.
Source: class DispatchCache, src/coreclr/vm/virtualcallstub.h; offsets in layouts.py.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk.core.memory import Memory, for_search, read_u32, read_u64, read_words
from dumpwalk.core.names import plural
from dumpwalk.core.process import Process
from dumpwalk.coreclr.dispatch.audit import CacheWalk, read_element, record_damage, walk_cache
from dumpwalk.coreclr.dispatch.token_hash import BUCKETS, bucket_of
from dumpwalk.coreclr.layouts import LOCK_OFFSET, TABLE_BYTES, Layout, is_write_lock_flags
from dumpwalk.coreclr.locks import crst
from dumpwalk.dataclass import dataclass

DERIVED = "derived"
LARGEST_OBJECT_HEAD = 0x200
"""Bytes before the table that are searched in an object of unknown layout; 0xD0 is the largest known."""
_OTHERS_WALKED = 8
SAMPLED_NODES = 64
"""Nodes whose keys are hashed before an address is believed."""


@dataclass(frozen=True)
class Shape:
    """Where one plausible DispatchCache has its parts."""

    address: int
    table: int
    lock: int
    flags: int
    sentinel: Optional[int]
    layout: Layout
    """The row of the table that it agrees with, or one derived from the structure itself (`verified` is "derived")."""
    slots: Tuple[int, ...]
    score: float
    """Share of sampled keys that hash to their bucket, 0 to 1; 1 for an empty cache."""
    sampled: int

    def layout_name(self, major: Optional[int]) -> str:
        """How the layout was settled, for the report."""
        row = self.layout
        if row.verified == DERIVED:
            return f"unknown layout, derived from the structure (table at +0x{row.table:x})"
        if major is not None and not row.versions[0] <= major <= row.versions[1]:
            return f"no offsets are known of version {major}; the structure is that of {row.name}, confirmed in memory"
        return (
            f"{row.name} (offsets {'verified' if row.verified != 'inferred' else 'inferred'}), confirmed by structure"
        )


@dataclass
class Cache:
    shape: Shape
    located_by: List[str]
    walk: CacheWalk
    others: List[Shape] = field(default_factory=list)
    """Further structures that look like a DispatchCache: more than one runtime, or a stale copy."""


def examine(memory: Memory, address: int, layouts: Sequence[Layout]) -> Optional[Shape]:
    """Is there a DispatchCache at `address`? Tried with each row; None when memory agrees with none."""
    for layout in layouts:
        shape = examine_table(memory, address + layout.table, layouts, expected=layout)
        if shape is not None:
            return shape
    return None


def examine_unknown(memory: Memory, address: int, layouts: Sequence[Layout]) -> Optional[Shape]:
    """The same where something else says that a DispatchCache is there: the table is looked for behind the flags word."""
    data = for_search(memory).read(address, LARGEST_OBJECT_HEAD)
    if data is None or not layouts:
        return None
    for offset in range(LOCK_OFFSET + 8, LARGEST_OBJECT_HEAD - 8, 8):
        if is_write_lock_flags(int.from_bytes(data[offset : offset + 4], "little")):
            shape = examine_table(memory, address + offset + 8, layouts, object_address=address)
            if shape is not None:
                return shape
    return None


def examine_table(
    memory: Memory,
    table: int,
    layouts: Sequence[Layout],
    expected: Optional[Layout] = None,
    object_address: Optional[int] = None,
) -> Optional[Shape]:
    """Is the table of a DispatchCache at `table`? Without an `expected` row the row is chosen by the lock before it; where
    none fits, the lock is looked for and the layout derived (from `object_address` on, when that is known).

    Most addresses that are asked about are no table: only what is one is read so that a recording keeps it."""
    tried = for_search(memory)
    found = _examine_table(tried, table, layouts, expected, object_address)
    if found is None or tried is memory:
        return found
    return _examine_table(memory, table, layouts, expected, object_address)


def _examine_table(
    memory: Memory,
    table: int,
    layouts: Sequence[Layout],
    expected: Optional[Layout],
    object_address: Optional[int],
) -> Optional[Shape]:
    if table & 7:
        return None
    flags = read_u32(memory, table - 8)
    if flags is None or not is_write_lock_flags(flags):
        return None
    slots = read_words(memory, table, BUCKETS)
    if slots is None or not _plausible_slots(slots, table):
        return None
    sentinel = _sentinel(memory, table, slots)
    score, sampled = _hash_score(memory, slots, sentinel)
    if score < 0.5 or (sampled == 0 and sentinel is None):
        return None
    layout = expected or _layout_by_structure(memory, table, layouts, object_address)
    if layout is None:
        return None
    address = table - layout.table
    return Shape(address, table, address + LOCK_OFFSET, flags, sentinel, layout, slots, score, sampled)


def walk(process: Process, shape: Shape, located_by: Sequence[str]) -> Cache:
    """Walk and audit all chains of a cache that was found."""
    core = process.corefile
    segments = [(s.start, s.end) for s in core.regions] if core is not None else []

    def expected(address: int) -> bool:
        if core is None:
            return process.live  # a live process has all of its memory
        if core.truncated or core.kind not in ("full", "heap"):
            return False
        return not any(start <= address < end for start, end in segments)

    found = walk_cache(process.memory, shape.slots, shape.sentinel, expected)
    _audit_empty(process.memory, shape, found)
    return Cache(shape, list(located_by), found)


def _audit_empty(memory: Memory, shape: Shape, found: CacheWalk) -> None:
    """`empty` stands behind the table; where it is not the marker at which the chains end, it was overwritten."""
    at = shape.table + TABLE_BYTES
    value = read_u64(memory, at)
    if value is not None and shape.sentinel is not None and value != shape.sentinel:
        why = f"the pointer to the end marker is 0x{value:x}, the chains end at 0x{shape.sentinel:x}"
        record_damage(found, "damaged-empty", None, None, at, why)


def audit_others(process: Process, cache: Cache) -> None:
    """Walk the other structures that look like the cache: a circle in one of them is damage of this process, too."""
    known = {cache.shape.table}
    for other in cache.others[:_OTHERS_WALKED]:
        if other.table in known:
            continue
        known.add(other.table)
        found = walk(process, other, ()).walk
        if found.cycles or found.damage:
            wrong = f"{plural(len(found.cycles), 'circular chain')}, {plural(found.damage_count, 'broken rule')}"
            why = f"a second structure that looks like the cache, at 0x{other.address:x}, has {wrong}"
            record_damage(cache.walk, "second-cache", None, None, other.address, why)


def _plausible_slots(slots: Sequence[int], table: int) -> bool:
    """No NULL, and nearly all aligned: damage to some slots must not hide the cache."""
    bad = 0
    for value in slots:
        if value & 7 or value < 0x1000 or table <= value < table + TABLE_BYTES:
            bad += 1
            if bad > 64:
                return False
    return True


def _sentinel(memory: Memory, table: int, slots: Sequence[int]) -> Optional[int]:
    """The value of `empty`: the word behind the table, if it looks like the sentinel; else the slots' common value.

    The sentinel's pMT is -1; stray increments of its lowest bytes are tolerated here and reported by the audit (the
    padding that dotnet/runtime PR 129531 describes adds to byte 0).
    """
    value = read_u64(memory, table + TABLE_BYTES)
    if value is not None and _looks_like_sentinel(memory, value):
        return value
    counts: Dict[int, int] = {}
    for slot in slots:
        counts[slot] = counts.get(slot, 0) + 1
    common, count = max(counts.items(), key=lambda item: item[1])
    if count >= 8 and _looks_like_sentinel(memory, common):
        return int(common)
    return value if value is not None and not value & 7 and value and memory.read(value, 8) else None


def _looks_like_sentinel(memory: Memory, address: int) -> bool:
    if not address or address & 7:
        return False
    element = read_element(memory, address)
    if element is None:
        return False
    return element.mt >> 16 == 0xFFFFFFFFFFFF and not (element.token or element.target or element.next)


def _hash_score(memory: Memory, slots: Sequence[int], sentinel: Optional[int]) -> Tuple[float, int]:
    right = total = 0
    for bucket, head in enumerate(slots):
        if head == sentinel:
            continue
        element = read_element(memory, head)
        if element is None:
            continue
        total += 1
        right += bucket_of(element.mt, element.token) == bucket
        if total >= SAMPLED_NODES:
            break
    return (right / total if total else 1.0), total


def _layout_by_structure(
    memory: Memory, table: int, layouts: Sequence[Layout], object_address: Optional[int]
) -> Optional[Layout]:
    """Rows of one platform differ in the lock's size: the row whose lock, at its place, looks like that lock; else a row of
    our own for a lock of another size that does. None when no lock is found: the layout is unknown."""
    for layout in layouts:
        if object_address is not None and table - layout.table != object_address:
            continue
        if crst.lock_looks_sane(memory, table - layout.crst_size, layout):
            return layout
    sizes: Sequence[int] = range(0x38, LARGEST_OBJECT_HEAD, 8)
    if object_address is not None:
        sizes = (table - object_address - LOCK_OFFSET,)
    known = {layout.crst_size for layout in layouts}
    for size in sizes:
        for pattern in layouts if size not in known else ():
            row = replace(
                pattern,
                name=DERIVED,
                versions=(0, 0),
                crst_size=size,
                condition=None,
                verified=DERIVED,
                source="structure",
            )
            state = crst.read_lock(memory, table - size, row)
            if state is None or not state.recursive:
                continue
            if object_address is not None or (state.locked and state.owner_tid):
                return row  # a free lock is mostly zeros, which stand in many places
    return None
