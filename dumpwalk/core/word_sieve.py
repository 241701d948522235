"""Where a run of bytes holds one of many words: one byte of each eight is looked at first, so that it runs at memory speed."""

from __future__ import annotations

from typing import Collection, Dict, Iterator, List, Sequence, Set, Tuple


class WordSieve:
    """Looks for `words`, all of one length of at most eight bytes, at every eighth byte.

    `planes` are the positions in a word whose byte tells the words apart from the rest of memory, best first: of each word the
    first of them that is not zero is sought, since most words of memory have zeros there; the last one where all are.
    """

    def __init__(self, words: Collection[bytes], planes: Sequence[int]):
        by_plane: Dict[int, Set[bytes]] = {}
        for word in words:
            by_plane.setdefault(next((plane for plane in planes if word[plane]), planes[-1]), set()).add(word)
        self._length = max((len(word) for word in words), default=0)
        self._sought: List[Tuple[int, Set[bytes], bytes]] = [
            (plane, those, _marks({word[plane] for word in those})) for plane, those in sorted(by_plane.items())
        ]

    def hits(self, data: bytes, first: int = 0) -> Iterator[Tuple[int, bytes]]:
        """(offset in `data`, word) of every word at `first`, `first` + 8, ...; ascending for each plane."""
        for plane, words, marked in self._sought:
            marks = data[first + plane :: 8].translate(marked)  # a regular expression takes twice as long
            place = marks.find(1)
            while place >= 0:
                at = first + 8 * place
                word = data[at : at + self._length]
                if word in words:
                    yield at, word
                place = marks.find(1, place + 1)


def _marks(values: Set[int]) -> bytes:
    """A table for bytes.translate: 1 for these values, 0 for all others."""
    return bytes(value in values for value in range(256))
