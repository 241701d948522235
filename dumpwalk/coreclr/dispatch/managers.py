"""Whose memory a node of the cache is: the stub managers of the process, their heaps, and the loader allocators that own them.

VirtualCallStubManagerManager (one, g_pManager) heads a list of VirtualCallStubManagers, one for each loader allocator; a
manager's cache entries come from a LoaderHeap whose blocks stand in a range list of the manager (cache_entry_rangeList), and
manager and allocator point at each other. Sources: src/coreclr/vm/virtualcallstub.h and loaderallocator.hpp (3.1: src/vm), class
RangeList in util.hpp: vtable, then a block of ten ranges {start, end, id} and the next block, then m_firstEmptyBlock and
m_firstEmptyRange; the id of a range is the heap that has it.

No offset inside of the two classes is taken from a table: a range list is recognised by its own words, the allocator by pointing
back, the next manager by its vtable. Read so in 3.1.23, 8.0.4, 8.0.30, 9.0.5, 10.0.9 and 10.0.12.
"""

from __future__ import annotations

import struct
from dataclasses import field
from typing import Dict, Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import read_u64, read_words
from dumpwalk.core.process import Process
from dumpwalk.core.word_search import find_words
from dumpwalk.coreclr.dac_table import MANAGER
from dumpwalk.coreclr.dispatch.allocators import Allocator, AllocatorReader
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.dataclass import dataclass

_SYMBOLS = (
    "_ZN29VirtualCallStubManagerManager10g_pManagerE",
    "__ZN29VirtualCallStubManagerManager10g_pManagerE",
    "VirtualCallStubManagerManager::g_pManager",
)
_FIRST = 0x10
"""m_pManagers: behind the vtable and the next stub manager of class StubManager, in every version."""
_MANAGER_BYTES = 0x800
"""Of a manager that are looked through; 3.1's, with five range lists, is the largest known (0x700)."""
_RANGES, _RANGE_WORDS = 10, 3
_BLOCK_NEXT = 8 * _RANGES * _RANGE_WORDS
_EMPTY_BLOCK, _EMPTY_RANGE = 8 + _BLOCK_NEXT + 8, 8 + _BLOCK_NEXT + 16
_LARGEST_RANGE = 1 << 30
_NEIGHBOURS = (0x18, 0x10)
"""g_resolveCache - g_pManager: 8 to 10, and 3.1 and 6 (dac_table.py)."""


@dataclass(frozen=True)
class Range:
    start: int
    end: int
    heap: int
    """The LoaderHeap that the range belongs to."""
    word: int
    """Where the range stands in its list."""


@dataclass
class Manager:
    """One VirtualCallStubManager."""

    address: int
    ranges: List[Range]
    allocator: Optional[Allocator]
    """None where no object points back at the manager."""
    allocator_word: int = 0
    """Where the manager names it."""

    def range_of(self, address: int) -> Optional[Range]:
        return next((r for r in self.ranges if r.start <= address < r.end), None)


@dataclass
class Managers:
    """All managers of the process, in the order of its list."""

    found: List[Manager] = field(default_factory=list)
    how: str = ""
    """Which way led to them."""
    complete: bool = False
    """The list was followed to its end."""
    why: str = ""
    """What is missing, where something is."""

    def owner_of(self, address: int) -> Optional[Tuple[Manager, Range]]:
        for manager in self.found:
            known = manager.range_of(address)
            if known is not None:
                return manager, known
        return None

    def of_allocator(self, address: int) -> Optional[Manager]:
        return next((m for m in self.found if m.allocator is not None and m.allocator.address == address), None)


def read_managers(process: Process, runtime: RuntimeView, cache: int) -> Managers:
    """The stub managers. `cache` is the address of the DispatchCache. Never raises on damaged memory."""
    info = runtime.info
    if info is None:
        return Managers(why="the process has no .NET runtime")
    low, high = info.image.span()
    reader = _Reader(process, runtime, low, high)
    for place, how in _places(process, runtime, cache, low, high):
        head = read_u64(process.memory, place)
        first = read_u64(process.memory, head + _FIRST) if head and reader.has_vtable(head) else None
        if head and first and reader.has_vtable(first) and reader.range_lists(first):
            found = reader.follow(first)
            found.how = how
            return found
    return Managers(
        why="the list of stub managers was not found: no symbol, no g_dacTable and no neighbour of the cache's pointer leads to it"
    )


def _places(process: Process, runtime: RuntimeView, cache: int, low: int, high: int) -> Iterator[Tuple[int, str]]:
    """Addresses that may be g_pManager."""
    table = runtime.table
    if table is not None and MANAGER in table.globals:
        yield table.globals[MANAGER], "g_dacTable"
    symbol = process.symbols.address_of(_SYMBOLS, runtime.info.image if runtime.info is not None else None)
    if symbol is not None:
        yield symbol, "its symbol"
    found = find_words(_Between(process.memory, low, high), {cache & 0xFFFFFFFF}, limits.HELD_FINDING_BYTES, 1000)
    for address, _ in found.hits:
        if read_u64(process.memory, address) == cache:
            for delta in _NEIGHBOURS:
                yield address - delta, f"the pointer to the cache at 0x{address:x}, whose neighbour it is"


class _Between:
    """The part of memory that an image covers."""

    def __init__(self, memory: object, low: int, high: int) -> None:
        self._memory, self._low, self._high = memory, low, high

    def read(self, address: int, size: int) -> Optional[bytes]:
        return self._memory.read(address, size)  # type: ignore[attr-defined,no-any-return]

    def extent(self, address: int) -> None:
        return None

    def segments(self) -> list:
        return [s for s in self._memory.segments() if s.start < self._high and self._low < s.end]  # type: ignore[attr-defined]


class _Reader:
    def __init__(self, process: Process, runtime: RuntimeView, low: int, high: int) -> None:
        self._memory = process.memory
        self._low, self._high = low, high
        self._next_at: Optional[int] = None
        self._allocator_at: Optional[int] = None
        self._allocators = AllocatorReader(process, runtime, self.has_vtable)

    def has_vtable(self, address: int) -> bool:
        """An object of a C++ class of the runtime: its first word points into the runtime's image."""
        if address % 8 or address < 0x10000:
            return False
        vtable = read_u64(self._memory, address)
        return vtable is not None and self._low <= vtable < self._high

    def range_lists(self, manager: int) -> List[int]:
        """Offsets of the range lists in a manager: a vtable, and an empty place in one of its own blocks."""
        words = self._words(manager)
        found: List[int] = []
        at = 0x10
        while at + _EMPTY_RANGE + 8 <= 8 * len(words):
            block, place = words[(at + _EMPTY_BLOCK) // 8], words[(at + _EMPTY_RANGE) // 8]
            if (
                self._low <= words[at // 8] < self._high
                and place <= _RANGES
                and self._is_block(block, manager + at + 8)
            ):
                found.append(at)
                at += _EMPTY_RANGE + 8
            else:
                at += 8
        return found

    def _is_block(self, block: int, own: int) -> bool:
        return block == own or (block % 8 == 0 and block > 0x10000 and read_words(self._memory, block, 31) is not None)

    def _words(self, address: int) -> Tuple[int, ...]:
        for count in (_MANAGER_BYTES // 8, 0x80, 0x48):
            words = read_words(self._memory, address, count)
            if words is not None:
                return words
        return ()

    def follow(self, first: int) -> Managers:
        found = Managers()
        seen: Dict[int, Manager] = {}
        at = first
        vtable = read_u64(self._memory, first)
        while at and at not in seen and len(seen) < limits.STUB_MANAGERS:
            if read_u64(self._memory, at) != vtable:
                found.why = f"the list of stub managers leads to 0x{at:x}, which is none or is not in the dump"
                break
            seen[at] = manager = self._manager(at)
            at = self._next(manager, vtable or 0)
        found.found = list(seen.values())
        if at in seen and at:
            found.why = f"the list of stub managers is circular at 0x{at:x}"
        elif len(seen) >= limits.STUB_MANAGERS:
            found.why = f"the list of stub managers was cut after {limits.STUB_MANAGERS:,}"
        found.complete = not found.why
        return found

    def _manager(self, address: int) -> Manager:
        ranges = [r for at in self.range_lists(address) for r in self._ranges(address + at)]
        manager = Manager(address, ranges, None)
        words = self._words(address)
        offsets = [self._allocator_at] if self._allocator_at is not None else range(0x18, 8 * len(words), 8)
        for at in offsets:
            value = words[at // 8] if at // 8 < len(words) else 0
            allocator = self._allocators.at(value, address) if value else None
            if allocator is not None:
                self._allocator_at = at
                manager.allocator, manager.allocator_word = allocator, address + at
                break
        return manager

    def _ranges(self, at: int) -> Iterator[Range]:
        """The used ranges of a list, first block to the one with the empty place."""
        words = read_words(self._memory, at, _EMPTY_RANGE // 8 + 1)
        if words is None:
            return
        last, used = words[_EMPTY_BLOCK // 8], words[_EMPTY_RANGE // 8]
        block = at + 8
        for _ in range(limits.STUB_RANGE_BLOCKS):
            data = self._memory.read(block, _BLOCK_NEXT + 8)
            if data is None:
                return
            for index in range(used if block == last else _RANGES):
                start, end, heap = struct.unpack_from("<QQQ", data, 24 * index)
                if 0 < start < end and end - start <= _LARGEST_RANGE and heap:
                    yield Range(start, end, heap, block + 24 * index)
            if block == last:
                return
            block = struct.unpack_from("<Q", data, _BLOCK_NEXT)[0]

    def _next(self, manager: Manager, vtable: int) -> int:
        """m_pNext: the word that leads to another manager. Where it stands is learned from the first that has one."""
        words = self._words(manager.address)
        if self._next_at is not None:
            return words[self._next_at // 8] if self._next_at // 8 < len(words) else 0
        for at in range(0x18, 8 * len(words), 8):
            value = words[at // 8]
            other = value != manager.address and value % 8 == 0 and value > 0x10000
            if other and read_u64(self._memory, value) == vtable:
                self._next_at = at
                return value
        return 0
