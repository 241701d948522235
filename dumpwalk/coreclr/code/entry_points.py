"""The map from a precompiled method's entry point to its MethodDesc, one a module: the runtime's HashMap.

Every precompiled method that has been prepared is in it. Layout (src/coreclr/vm/hash.h; data contract HashMap): buckets of
four keys and four values; the first word of bucket 0 is their number; a value is MethodDesc / 2, its high bit the
collision mark of the bucket.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Dict, List, Optional, Tuple

from dumpwalk.coreclr.words import NotRead, Words

_BUCKET = struct.Struct("<8Q")
_BUCKETS = 1 << 20
_MASK = (1 << 63) - 1
_POINTER = 0x10
"""HashMap: pointer to the buckets."""


class EntryPoints:
    """All entries whose buckets are captured. `complete` is False where some are not."""

    def __init__(self, words: Words, hash_map: int, low: int, high: int) -> None:
        self.methods: Dict[int, int] = {}
        """Entry address -> MethodDesc."""
        self.complete = True
        buckets = words.pointer(hash_map + _POINTER, "the map of entry points")
        count = words.u32(buckets, "the map of entry points")
        if not 0 < count < _BUCKETS:
            raise NotRead(f"the map of entry points at 0x{hash_map:x} is damaged")
        strange = 0
        for row in self._rows(words, buckets + _BUCKET.size, count):
            for key, value in zip(row[:4], row[4:]):
                if key <= 1:  # empty or deleted
                    continue
                if low <= key < high:
                    self.methods[key] = (value & _MASK) << 1
                else:
                    strange += 1
        if strange:
            raise NotRead(f"the map of entry points at 0x{hash_map:x} holds addresses outside of its image")
        self.keys: List[int] = sorted(self.methods)

    def _rows(self, words: Words, start: int, count: int) -> List[Tuple[int, ...]]:
        """The buckets of the pages that are captured; a table of which nothing is captured ends the reading at once."""
        size = _BUCKET.size
        first, last = words.holds(start, size), words.holds(start + size * (count - 1), size)
        if not first and not last:
            raise NotRead(f"the map of entry points at 0x{start:x} is not in the dump")
        rows: List[Tuple[int, ...]] = []
        at, end = start, start + size * count
        while at < end:
            stop = min((at & ~0xFFF) + 0x1000, end)
            if words.holds(at):
                for place in range(at, stop - size + 1, size):
                    try:
                        rows.append(_BUCKET.unpack(words.take(place, size, "the map of entry points")))
                    except NotRead:
                        self.complete = False
                if (stop - at) % size:  # a bucket across the page's end
                    try:
                        rows.append(_BUCKET.unpack(words.take(stop - (stop - at) % size, size)))
                    except NotRead:
                        self.complete = False
            else:
                self.complete = False
            at = stop + -(stop - start) % size
        return rows

    def at(self, entry: int) -> Optional[int]:
        """MethodDesc whose code begins there."""
        return self.methods.get(entry)

    def nearest(self, address: int) -> Optional[int]:
        """The last entry at or before an address: the method of a frame, since what runs has been prepared."""
        index = bisect_right(self.keys, address) - 1
        return self.keys[index] if index >= 0 else None
