"""The object that a word of the managed heap belongs to.

Found backwards: the nearest address before the word that looks like an object (a method table that checks out, no bits in the
upper half of its header) and is long enough to reach it. Bounds of the heap: g_lowest_address and g_highest_address, which
are neighbours in the runtime's table of globals (src/coreclr/inc/dacvars.h).
"""

from __future__ import annotations

import struct
from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, read_u64
from dumpwalk.core.word_sieve import BytePlane
from dumpwalk.coreclr.managed import ManagedView

_BLOCK = 4096
_MARKS = 7
_ALIGNED = 0xFFF
_TWO_WORDS = struct.Struct("<QQ")
_HEADERS = BytePlane(0, {0})
"""Words that may stand before an object: the lowest byte is zero, as that of one reference in 32 is."""


def heap_bounds(memory: Memory, entries: Sequence[int], obj: int) -> Optional[Tuple[int, int]]:
    """(lowest, highest) address of the managed heap: two neighbouring globals between which a known object lies."""
    found = set()
    for first, second in zip(entries, entries[1:]):
        low, high = (read_u64(memory, at) if at and at % 8 == 0 else None for at in (first, second))
        if low and high and low <= obj < high and not low & _ALIGNED and not high & _ALIGNED:
            found.add((low, high))
    return min(found, key=lambda pair: pair[1] - pair[0]) if found else None


class Containing:
    """Looks up objects around words. Nothing raises."""

    def __init__(self, memory: Memory, view: ManagedView, bounds: Tuple[int, int]) -> None:
        self._memory, self._view, self._bounds = memory, view, bounds
        self._tables: Dict[int, bool] = {}
        self._blank: List[Tuple[int, int]] = []
        """Parts in which no object begins that reaches their end: a large array's, met again and again."""

    def of(self, word: int) -> Optional[int]:
        """The address of the object that has a word; None where none was found."""
        lowest = low = max(self._bounds[0] + 8, word - limits.OBJECT_SEARCH_BYTES)
        for first, last in self._blank:
            if first <= low < last <= word:
                low = last
        end = word
        while end > low:
            start = max(low, end - _BLOCK)
            run = self._memory.extent(end - 8)
            if run is None:
                return None
            start = max(start, run[0] + 8)
            data = self._memory.read(start - 8, end - start + 8) if start < end else None
            if data is None:
                return None
            for offset in reversed(_HEADERS.hits(data, 0, len(data) - 15) if data.count(0) < len(data) else ()):
                header, value = _TWO_WORDS.unpack_from(data, offset)
                if header & 0xFFFFFFFF == 0 and self._is_table(value) and self._reaches(start + offset, word):
                    return start + offset
            end = start
        self._blank.append((lowest, word))
        return None

    def _is_table(self, value: int) -> bool:
        table = value & ~_MARKS
        if not 0x10000 < table < 1 << 47 or self._bounds[0] <= table < self._bounds[1]:
            return False
        known = self._tables.get(table)
        if known is None:
            view = self._view
            known = self._tables[table] = isinstance(view.type_name(table), str)
        return known

    def _reaches(self, obj: int, word: int) -> bool:
        size = self._view.size_of(obj)
        return isinstance(size, int) and word < obj + size - 8

    def field_at(self, obj: int, word: int) -> Optional[str]:
        """The field that a word of an object is; None in arrays, and where it could not be told."""
        fields = self._view.fields(obj)
        if not isinstance(fields, list):
            return None
        places = [(value.address, field.name) for field, value in fields if hasattr(value, "address")]
        before = [row for row in places if row[0] <= word]
        return max(before)[1] if before else None
