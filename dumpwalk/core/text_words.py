"""Text in memory, and memory without it: runs of printable characters, one byte each or two, become x.

A word of eight printable bytes, or of four printable UTF-16 characters, is no address of a user's process (the highest 16 bits of
those are 0). Shorter parts of a word might be one, so a word that is an address of the process is left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Callable, Iterator, List, Sequence, Set, Tuple

from dumpwalk.core.corefile import Segment

_NARROW = re.compile(rb"[\x20-\x7e]{5,}")
_WIDE = re.compile(rb"(?:[\x20-\x7e]\x00){4,}")
_X = 0x78
_LOW_BITS = (1 << 47) - 1
"""Above them arm64 may have a signature or a tag."""

IsAddress = Callable[[int], bool]


def addresses_of(regions: Sequence[Segment]) -> IsAddress:
    """Whether a word is the address of something in these mappings."""
    ordered = sorted((region.start, region.end) for region in regions)
    starts: List[int] = [start for start, _ in ordered]

    def known(value: int) -> bool:
        index = bisect_right(starts, value) - 1
        return index >= 0 and value < ordered[index][1]

    return lambda value: known(value) or known(value & _LOW_BITS)


def without_text(
    data: bytes, address: int, is_address: IsAddress, needed: Callable[[int], bool] = lambda at: False
) -> bytes:
    """The bytes of `address` with their text overwritten, as many; words that are `needed`, asked by address, stay."""
    runs = [(*run, 1) for run in _spans(_NARROW, data)] + [(*run, 2) for run in _spans(_WIDE, data)]
    if not runs:
        return data
    changed = bytearray(data)
    words: Set[int] = set()
    shift = address % 8
    for start, end, step in runs:
        changed[start:end:step] = bytes([_X]) * len(range(start, end, step))
        words.update(range(start - (start + shift) % 8, end, 8))
    for at in words:
        low, high = max(at, 0), min(at + 8, len(data))
        if needed(address + low) or (high - low == 8 and is_address(int.from_bytes(data[low:high], "little"))):
            changed[low:high] = data[low:high]
    return bytes(changed)


def _spans(pattern: re.Pattern[bytes], data: bytes) -> Iterator[Tuple[int, int]]:
    return (match.span() for match in pattern.finditer(data))
