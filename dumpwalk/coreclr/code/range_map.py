"""Which code range an address lies in: the JIT's heaps, precompiled images, stubs.

8 and later: a map of five levels of 256 pointers whose leaves cover 128 KiB (src/coreclr/vm/codeman.h, RangeSectionMap);
3.1 to 7: a list of RangeSections. Look-ups go by address: dumps hold only those parts of the map that were walked when
they were written, and these are the ones that are asked for.
"""

from __future__ import annotations

import struct
from typing import Dict, List, NamedTuple, Optional, Set

from dumpwalk.coreclr.words import NotRead, Words

_LEVELS = 5
_LEAF_BITS, _LEVEL_BITS = 17, 8
_FRAGMENTS = 4096
_SECTIONS = 100_000
_STEPS = 1_000_000
"""Elements walked of all lists that are tried."""
_COLLECTIBLE, _CODE_HEAP, _RANGE_LIST = 1, 2, 4
_OLD_READY_TO_RUN = 4
_ROOT_WORDS = 256


class RangeSection(NamedTuple):
    """One range. `kind`: jit, r2r or stub."""

    address: int
    begin: int
    end: int
    kind: str
    module: int
    """R2R: the Module; else 0."""
    heap_list: int
    """JIT: the heap's list node, which holds the nibble map; else 0."""


class RangeMap:
    """The five-level map (8 and later) at `root`."""

    def __init__(self, words: Words, root: int) -> None:
        self._words = words
        self.root = root
        self._sections: Dict[int, RangeSection] = {}

    def section_at(self, address: int) -> Optional[RangeSection]:
        """The range of an address; None when there is none. Raises NotRead where the map is not captured."""
        at = self.root
        for level in range(_LEVELS - 1, -1, -1):
            index = address >> (_LEAF_BITS + _LEVEL_BITS * level) & 0xFF
            at = self._words.u64(at + 8 * index, "the map of code ranges") & ~1
            if not at:
                return None
        for _ in range(_FRAGMENTS):
            following, begin, end, section = self._words.many(at, 4, "the map of code ranges")
            if begin <= address < end:
                return self._section(section & ~1, address)
            at = following & ~1
            if not at:
                return None
        raise NotRead(f"the code ranges around 0x{address:x} are a list without end")

    def _section(self, at: int, address: int) -> Optional[RangeSection]:
        found = self._sections.get(at)
        if found is None:
            begin, end, flags, _, module, heap = self._words.many(at, 6, "a code range")
            flags &= 0xFFFFFFFF  # what stands behind the flags is not initialised
            kind = "stub" if flags & _RANGE_LIST else "jit" if flags & _CODE_HEAP else "r2r" if module else "stub"
            found = RangeSection(at, begin, end, kind, module if kind == "r2r" else 0, heap if kind == "jit" else 0)
            self._sections[at] = found
        return found if found.begin <= address < found.end else None


class RangeList:
    """The list of ranges of 3.1 to 7, from its head."""

    def __init__(self, words: Words, head: int) -> None:
        self._words = words
        self.root = head
        self._sections = self._walk(head)

    def _walk(self, at: int) -> List[RangeSection]:
        found: List[RangeSection] = []
        seen: Set[int] = set()
        while at:
            if at in seen or len(seen) >= _SECTIONS or at % 8:
                raise NotRead(f"the list of code ranges does not end (0x{at:x})")
            seen.add(at)
            section = old_section(self._words, at)
            found.append(section)
            self._words.holds(
                self._words.u64(at + 0x10), 8
            )  # the manager, by which the list is known where no name leads to it
            at = self._words.u64(at + 0x18, "a code range")
        return found

    def section_at(self, address: int) -> Optional[RangeSection]:
        return next((s for s in self._sections if s.begin <= address < s.end), None)


def old_section(words: Words, at: int) -> RangeSection:
    """A RangeSection of 3.1 to 7. Raises NotRead when it cannot be one."""
    low, high, manager, _, _, flags, owner = words.many(at, 7, "a code range")
    flags &= 0xFFFFFFFF
    if not 0 < low < high < low + (4 << 30) or flags & ~7 or not manager:
        raise NotRead(f"0x{at:x} is no code range")
    if flags & _OLD_READY_TO_RUN:
        return RangeSection(at, low, high, "r2r", owner, 0)
    if flags & _CODE_HEAP:
        return RangeSection(at, low, high, "jit", 0, owner)
    return RangeSection(at, low, high, "stub", 0, 0)


def lists_in(words: Words, low: int, high: int, inside: range) -> List[int]:
    """Heads of lists of code ranges among the words of low..high (the runtime's writable data), the longest first.

    `inside`: the runtime's image; each element's manager must have its vtable there.
    """
    lengths: Dict[int, int] = {}
    steps = 0
    for page in range(low & ~0xFFF, high, 0x1000):
        try:
            data = words.take(page, 0x1000)
        except NotRead:
            continue
        for (value,) in struct.iter_unpack("<Q", data):
            if value % 8 or not 0x10000 <= value < 1 << 47 or value in inside or value in lengths:
                continue
            lengths[value] = _length(words, value, inside)
            steps += lengths[value]
            if steps > _STEPS:
                break
    return sorted((p for p, n in lengths.items() if n), key=lambda p: -lengths[p])


def _length(words: Words, at: int, inside: range) -> int:
    count = 0
    seen: Set[int] = set()
    while at and at not in seen and count < _SECTIONS:
        seen.add(at)
        try:
            old_section(words, at)
            manager = words.u64(at + 0x10)
            if words.u64(manager) not in inside:
                return 0
            at = words.u64(at + 0x18)
        except NotRead:
            return 0
        count += 1
    return count


def maps_in(words: Words, low: int, high: int) -> List[int]:
    """Places in low..high that look like the root of a five-level map: one pointer, then 255 null words."""
    found: List[int] = []
    previous = b""
    for page in range(low & ~0xFFF, high, 0x1000):
        try:
            data = words.take(page, 0x1000)
        except NotRead:
            previous = b""
            continue
        joined = previous + data
        start = page - len(previous)
        empty = bytes(8 * (_ROOT_WORDS - 1))
        at = joined.find(empty)
        while at >= 0:
            at = at + -at % 8
            if at >= 8 and joined[at : at + len(empty)] == empty:
                value = int.from_bytes(joined[at - 8 : at], "little")
                if value % 8 in (0, 1) and 0x10000 <= value < 1 << 47 and start + at - 8 not in found:
                    found.append(start + at - 8)
                at += 0x400
            at = joined.find(empty, at + 8)
        previous = data
    return found
