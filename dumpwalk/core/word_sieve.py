"""Where a run of bytes holds one of many words: one byte of each eight is looked at first, so that it runs at memory speed."""

from __future__ import annotations

import re
from collections import Counter
from typing import Collection, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple


class BytePlane:
    """Looks for certain values of one byte in every eight.

    Several values are translated to 1 and all others to 0, and a single 1 is sought, which the C library's memchr does: that
    takes a third of the time of a character class.
    """

    def __init__(self, plane: int, values: Collection[int]) -> None:
        self._plane = plane
        self._marks: Optional[bytes] = None
        self._sought = re.compile(re.escape(bytes(values)))
        if len(values) != 1:
            self._marks = bytes(1 if value in values else 0 for value in range(256))
            self._sought = re.compile(b"\1")

    def hits(self, data: bytes, first: int, end: int) -> List[int]:
        """Offsets of the words first, first + 8, ... before `end` whose byte is one of the values."""
        of_all = data[first + self._plane : end : 8]
        marked = of_all if self._marks is None else of_all.translate(self._marks)
        return [first + 8 * hit.start() for hit in self._sought.finditer(marked)]


Frequencies = Mapping[int, Mapping[int, int]]
"""Of a plane, how often each value of its byte was met."""


def frequencies(sample: Sequence[bytes], planes: Sequence[int]) -> Frequencies:
    """What a few pieces of memory say of all of it: of one word in 16."""
    return {plane: Counter(b"".join(data[plane::128] for data in sample)) for plane in planes}


class WordSieve:
    """Looks for `words`, all of one length of at most eight bytes, at every eighth byte.

    `planes` are the positions in a word whose byte tells the words apart from the rest of memory, best first: of each word the
    first of them that is not zero is sought, since most words of memory have zeros there; the last one where all are. Where it
    is known how frequent each value is (`met`), the one is taken whose values are the rarest together.
    """

    def __init__(self, words: Collection[bytes], planes: Sequence[int], met: Optional[Frequencies] = None):
        by_plane: Dict[int, Set[bytes]] = {}
        if met is not None and words:
            rates = {p: sum(met[p].get(value, 0) for value in {word[p] for word in words}) for p in planes}
            by_plane[min(planes, key=lambda plane: rates[plane])] = set(words)
        else:
            for word in words:
                by_plane.setdefault(next((plane for plane in planes if word[plane]), planes[-1]), set()).add(word)
        self._length = max((len(word) for word in words), default=0)
        self._sought: Tuple[Tuple[BytePlane, Set[bytes]], ...] = tuple(
            (BytePlane(plane, {word[plane] for word in those}), those) for plane, those in sorted(by_plane.items())
        )

    def hits(self, data: bytes, first: int = 0) -> Iterator[Tuple[int, bytes]]:
        """(offset in `data`, word) of every word at `first`, `first` + 8, ...; ascending for each plane."""
        length = self._length
        for plane, words in self._sought:
            for at in plane.hits(data, first, len(data)):
                word = data[at : at + length]
                if word in words:
                    yield at, word
