"""Finds g_resolveCache, in each of four ways, the fastest and surest first; each works alone and says so.

1. symbol: `g_resolveCache` (static in virtualcallstub.cpp; kept in 3.1's Linux image and in macOS images).
2. register: a thread's registers or the callee-saved registers of its frames: a waiter has m_writeLock, a walker `this`.
3. dac-table: VirtualCallStubManagerManager::g_pManager from g_dacTable; g_resolveCache is a neighbour (+0x10 in 3.1 and 6,
   +0x18 in 8 to 10, else probed).
4. structural-scan: the lock's flags word, then 4096 slots, then the hash audit, over all writable memory.

Whatever a way offers, `dispatch_cache.examine` must agree before it is believed.
"""

from __future__ import annotations

from dataclasses import field
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Memory, filled_runs, for_search, read_u64
from dumpwalk.core.process import Process, SymbolTable
from dumpwalk.coreclr.dispatch.cache import Shape, examine, examine_table, examine_unknown
from dumpwalk.coreclr.layouts import LOCK_OFFSET, Layout
from dumpwalk.dataclass import dataclass

SYMBOLS = ("g_resolveCache", "_ZL14g_resolveCache", "__ZL14g_resolveCache")
WAYS = ("symbol", "register", "dac-table", "structural-scan")
_CHUNK = 1 << 20
_CONFIRMING = 500
"""Register values looked at when another way has found the cache: a process at peace would have all of them looked at."""


@dataclass
class Location:
    shape: Optional[Shape] = None
    located_by: List[str] = field(default_factory=list)
    details: List[str] = field(default_factory=list)
    """How each way got there: `thread 20: r14`."""
    others: List[Shape] = field(default_factory=list)
    tried: List[str] = field(default_factory=list)
    scan_complete: Optional[bool] = None
    """None when no scan was needed."""
    pointer_not_captured: bool = False
    """A symbol or table led to g_resolveCache, and the object it points to is not in the dump."""
    used: bool = False
    """What led there says by itself that it is the cache that is used: a symbol, the runtime's table, a walk's own code, a
    lock that threads wait for. A mere register may lead to a copy that nobody uses."""
    not_created: bool = False
    """g_resolveCache itself was read and is NULL: the process has no cache."""


@dataclass(frozen=True)
class Candidate:
    """An address that may be the cache, or (with `is_lock`) its m_writeLock."""

    address: int
    how: str
    sure: bool = False
    """Something else says that a DispatchCache is there, so an unknown layout is worth deriving."""
    used: bool = False
    """What led there says by itself that it is the cache that is used, as in Location.used."""


def locate(
    process: Process,
    image: Optional[SymbolTable],
    layouts: Sequence[Layout],
    register_candidates: Iterable[Candidate],
    table_pointers: Callable[[], Iterable[Candidate]],
    ways: Sequence[str] = WAYS,
    more_registers: Callable[[], Iterable[Candidate]] = lambda: (),
) -> Location:
    """Find the cache. `image` is the runtime's, where that is known. A second way is asked only when it is cheap: then both stand
    in `located_by`, or the disagreement stands in `others`. `more_registers`, those of outer frames and of stacks, cost much:
    they are asked where no other way led to it."""
    location = Location()
    memory = process.memory
    if "symbol" in ways:
        location.tried.append("symbol")
        pointer = process.symbols.address_of(SYMBOLS, image)
        if pointer is not None:
            _take_pointer(location, memory, layouts, pointer, "symbol", f"g_resolveCache at 0x{pointer:x}")
    if "register" in ways:
        location.tried.append("register")
        _take_registers(location, memory, layouts, register_candidates)
    if "dac-table" in ways and ("register" not in location.located_by or "symbol" not in location.located_by):
        location.tried.append("dac-table")
        for candidate in table_pointers():
            if _take_pointer(location, memory, layouts, candidate.address, "dac-table", candidate.how):
                break
    if "register" in ways and location.shape is None and not location.not_created:
        _take_registers(location, memory, layouts, more_registers())
    if "structural-scan" in ways and not location.used and not location.not_created:
        _take_scan(location, memory, layouts)
    return location


def _take_registers(
    location: Location, memory: Memory, layouts: Sequence[Layout], candidates: Iterable[Candidate]
) -> None:
    seen = set()
    for candidate in candidates:
        if candidate.address in seen:
            continue
        seen.add(candidate.address)
        if location.shape is not None and len(seen) > _CONFIRMING:
            break
        if _take_object(location, memory, layouts, candidate, "register"):
            break


def _take_scan(location: Location, memory: Memory, layouts: Sequence[Layout]) -> None:
    """All structures in memory: the cache where nothing led to one, else others beside the one that a register led to."""
    location.tried.append("structural-scan")
    shapes, location.scan_complete = scan(memory, layouts)
    if not shapes:
        return
    found = location.shape or shapes[0]
    location.shape = found
    location.others.extend(s for s in shapes if s.table != found.table)
    if any(s.table == found.table for s in shapes):
        location.located_by.append("structural-scan")
        location.details.append(f"structure at 0x{found.table:x}")


def _take_pointer(
    location: Location, memory: Memory, layouts: Sequence[Layout], pointer: int, way: str, how: str
) -> bool:
    value = read_u64(memory, pointer)
    if value is None:
        return False
    if value == 0:
        location.not_created = location.not_created or way == "symbol"
        return False
    if way == "symbol" and memory.read(value, 0x40) is None:
        location.pointer_not_captured = True
    return _take_object(location, memory, layouts, Candidate(value, how, way == "symbol", used=True), way)


def _take_object(location: Location, memory: Memory, layouts: Sequence[Layout], candidate: Candidate, way: str) -> bool:
    known = location.shape
    if known is not None and candidate.address in (known.address, known.lock):
        if way not in location.located_by:
            location.located_by.append(way)
            location.details.append(candidate.how)
        location.used = location.used or candidate.used
        return True
    for address in (candidate.address, candidate.address - LOCK_OFFSET):
        if address <= 0 or address & 7:
            continue
        shape = examine(memory, address, layouts)
        if shape is None and candidate.sure and address == candidate.address:
            shape = examine_unknown(memory, address, layouts)
        if shape is None:
            continue
        if known is not None and known.table != shape.table:
            if location.used or not candidate.used:
                location.others.append(shape)
                return False
            location.others.append(known)  # a register led to it, and to this one what the runtime itself uses
            location.located_by, location.details = [], []
        location.shape = shape if known is None or known.table != shape.table else known
        if way not in location.located_by:
            location.located_by.append(way)
            location.details.append(candidate.how)
        location.used = location.used or candidate.used
        return True
    return False


def scan(memory: Memory, layouts: Sequence[Layout]) -> Tuple[List[Shape], bool]:
    """Every DispatchCache in writable memory, the best hash score first, and whether all of that memory was looked at.

    The flags word is a u32 of 0x80000008 or 0xC0000008 at an 8-aligned address: its fourth byte alone is looked for, in a
    slice that holds one byte of every word, so that the search runs at memory speed.
    """
    shapes: List[Shape] = []
    scanned = 0
    candidates = 0
    complete = True
    swept = for_search(memory)
    for segment in memory.segments():
        if not segment.writable or segment.file_size < 0x8000:
            continue
        if scanned >= limits.SCAN_BYTES:
            complete = False
            break
        for address, size in _chunks(memory, segment):
            data = swept.read(address, size)
            if data is None:
                complete = False
                break
            scanned += len(data)
            for offset in flag_words(data):
                candidates += 1
                if candidates > limits.SCAN_CANDIDATES:
                    complete = False
                    break
                shape = examine_table(memory, address + offset + 8, layouts)
                if shape is not None and all(s.table != shape.table for s in shapes):
                    shapes.append(shape)
    shapes.sort(key=lambda s: (-s.score, -s.sampled, s.table))
    return shapes, complete


def _chunks(memory: Memory, segment: Segment) -> Iterator[Tuple[int, int]]:
    """(address, size) of the pieces to look at; what is a hole of the file holds no cache."""
    size = min(segment.file_size, segment.end - segment.start)
    for start, end in filled_runs(memory, segment.start, segment.start + size):
        for address in range(start, end, _CHUNK):
            yield address, min(_CHUNK, end - address)


def flag_words(data: bytes) -> List[int]:
    """Offsets, multiples of 8, of the u32 values 0x80000008 and 0xC0000008."""
    found: List[int] = []
    top_bytes = data[3::8]
    for top in (b"\x80", b"\xc0"):
        at = top_bytes.find(top)
        while at >= 0:
            start = 8 * at
            if data[start : start + 3] == b"\x08\x00\x00":
                found.append(start)
            at = top_bytes.find(top, at + 1)
    return sorted(found)
