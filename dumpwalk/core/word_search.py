"""Which words of writable memory are one of a few: one pass over all of it, for all of them at once.

A lock names its owner by a thread's number at an address that is a multiple of four; what is zero is passed over.
"""

from __future__ import annotations

from dataclasses import field
from typing import Collection, List, Sequence, Tuple

from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Memory, filled_runs, for_search
from dumpwalk.core.word_sieve import WordSieve
from dumpwalk.dataclass import dataclass

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
_PLANES = (1, 2, 0)
"""Low bytes are as frequent as any byte, and the ones above are zero as most of memory is."""


@dataclass
class WordSearch:
    """What was found, and how much of memory was looked at."""

    hits: List[Tuple[int, int]] = field(default_factory=list)
    """(address, number), ascending within a segment."""
    searched: int = 0
    """Bytes of writable memory that were looked at, zeros included."""
    left: int = 0
    """Bytes that were not, for the bound or since they could not be read."""
    limited: bool = False
    """More words than the bound allows: the rest was not kept."""

    @property
    def complete(self) -> bool:
        return not self.left and not self.limited


def find_words(
    memory: Memory, numbers: Collection[int], most_bytes: int, most_hits: int, misaligned: bool = False
) -> WordSearch:
    """Every 8-aligned u32 of captured writable memory that is one of `numbers`; with `misaligned` those 4 behind, too.

    Small segments come first: a heap of managed objects is large, and native locks do not lie in it.
    """
    wanted = {number for number in numbers if number > 0}
    if not wanted:
        return WordSearch()
    sieve = WordSieve([number.to_bytes(4, "little") for number in wanted], _PLANES)
    return _find(memory, sieve, most_bytes, most_hits, (0, 4) if misaligned else (0,))


def find_long_words(memory: Memory, words: Collection[int], plane: int, most_bytes: int, most_hits: int) -> WordSearch:
    """Every 8-aligned u64 of captured writable memory that is one of `words`, which differ in their byte `plane`."""
    sieve = WordSieve([word.to_bytes(8, "little") for word in set(words)], (plane,))
    return _find(memory, sieve, most_bytes, most_hits, (0,))


def _find(memory: Memory, sieve: WordSieve, most_bytes: int, most_hits: int, firsts: Sequence[int]) -> WordSearch:
    found = WordSearch()
    segments = sorted((s for s in memory.segments() if s.writable and s.file_size), key=lambda s: (_size(s), s.start))
    for segment in segments:
        if found.searched + _size(segment) > most_bytes or found.limited:
            found.left += _size(segment)
            continue
        _search(memory, segment, sieve, most_hits, firsts, found)
    return found


def _size(segment: Segment) -> int:
    return min(segment.file_size, segment.end - segment.start)


def _search(
    memory: Memory, segment: Segment, sieve: WordSieve, most: int, firsts: Sequence[int], found: WordSearch
) -> None:
    size = _size(segment)
    found.searched += size
    swept = for_search(memory)
    for start, end in filled_runs(memory, segment.start, segment.start + size):
        for address in range(start, end, _CHUNK):
            data = swept.read(address, min(_CHUNK, end - address))
            if data is None:
                found.left += min(_CHUNK, end - address)
                continue
            if data == _ZEROS:
                continue
            for first in firsts:
                for offset, word in sieve.hits(data, first):
                    if len(found.hits) >= most:
                        found.limited = True
                        return
                    found.hits.append((address + offset, int.from_bytes(word, "little")))
