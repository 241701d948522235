"""Which words of memory name certain objects, where each answer may lead to the next question.

The managed heap is swept in a circle, a piece at a time, for all objects that are asked about. One that is asked about in the
middle is looked for from the next piece on, and the sweep is through with it when it comes round to there: following an
object's referrers through several steps takes two rounds or so, and not one for each step. What lies outside of the heap is
little, and is looked through at once: roots are there.
"""

from __future__ import annotations

from dataclasses import field
from typing import Collection, Dict, Iterator, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, for_search, read_u64
from dumpwalk.core.word_sieve import Frequencies, WordSieve, frequencies
from dumpwalk.dataclass import dataclass

_PIECE = 1 << 20
_PLANES = (2, 1, 3)
"""Bits 16 to 23 tell objects apart that are far from each other."""
_LITTLE = 64 << 20
"""Bytes outside of the heap; more of it is a part of the circle."""
_SAMPLES = 8

Run = Tuple[int, int]
Met = Tuple[int, int]
"""(object, address of a word that names it)."""


@dataclass
class _Sought:
    until: int
    """The number of the piece, counted over all rounds, before which it is looked for."""
    swept: int
    """The number of the piece before which it was looked for without a gap."""
    outside: bool = False
    """What lies outside of the heap was looked through."""
    words: Dict[int, None] = field(default_factory=dict)


class Sweep:
    """One circle over these runs of memory. Nothing raises."""

    def __init__(self, memory: Memory, runs: Sequence[Run], heap: Run) -> None:
        self._memory, self._source = memory, for_search(memory)
        around = list(_outside(runs, heap))
        if sum(end - start for start, end in around) > _LITTLE:
            self._around: List[Run] = []
            self._pieces = _pieces(runs)
        else:
            self._around = _pieces(around)
            self._pieces = _pieces([(max(start, heap[0]), min(end, heap[1])) for start, end in runs])
        self._sought: Dict[int, _Sought] = {}
        self._step = 0
        self._unread: Dict[int, int] = {}
        self._met = self._sample()

    def _sample(self) -> Optional[Frequencies]:
        every = len(self._pieces) // _SAMPLES
        if not every:
            return None
        pieces = self._pieces[every // 2 :: every]
        return frequencies([self._source.read(start, end - start) or b"" for start, end in pieces], _PLANES)

    def ask(self, target: int) -> None:
        """Looks for an object from the next piece on, once around."""
        if target not in self._sought:
            self._sought[target] = _Sought(self._step + len(self._pieces), self._step)

    def is_through(self, target: int) -> bool:
        """All words that name the object are known."""
        sought = self._sought[target]
        return sought.outside and sought.until <= sought.swept

    def words(self, target: int) -> Sequence[int]:
        """Addresses of words that name an object, those that were met by now."""
        return list(self._sought[target].words)

    def is_full(self, target: int) -> bool:
        """More words name the object than are kept."""
        return len(self._sought[target].words) >= limits.REFERRER_WORDS

    @property
    def unread(self) -> int:
        """Bytes that could not be read when the sweep came to them: a file that was cut meanwhile, segments that overlap."""
        return sum(self._unread.values())

    def on(self, wanted: Collection[int]) -> List[Met]:
        """Words that name one of these objects, all of them asked about and none of them through: the sweep goes on until it
        meets some, or is through with one."""
        found: List[Met] = []
        new = [target for target in wanted if not self._sought[target].outside]
        sieve = self._sieve(new)
        for piece in self._around if new else ():
            found += self._look(piece, sieve)
        sieve = self._sieve(wanted)
        for target in wanted:
            sought = self._sought[target]
            sought.outside = True
            if sought.swept < self._step:  # nobody wanted it for a while
                sought.until = self._step + len(self._pieces)
        last = min(self._sought[target].until for target in wanted)
        while self._step < last and not found:
            piece = self._pieces[self._step % len(self._pieces)]
            self._step += 1
            found += self._look(piece, sieve)
        for target in wanted:
            self._sought[target].swept = self._step
        return found

    def _sieve(self, targets: Collection[int]) -> WordSieve:
        return WordSieve([target.to_bytes(8, "little") for target in targets], _PLANES, self._met)

    def _look(self, piece: Run, sieve: WordSieve) -> Iterator[Met]:
        start, end = piece
        data = self._source.read(start, end - start)
        if data is None:
            self._unread[start] = end - start
            return
        for at, word in sieve.hits(data):
            target, address = int.from_bytes(word, "little"), start + at
            words = self._sought[target].words
            if address in words or len(words) >= limits.REFERRER_WORDS:
                continue
            # Read again, so that who keeps what the analysis read keeps it.
            if read_u64(self._memory, address) == target:
                words[address] = None
                yield target, address


def _outside(runs: Sequence[Run], heap: Run) -> Iterator[Run]:
    for start, end in runs:
        for low, high in ((start, min(end, heap[0])), (max(start, heap[1]), end)):
            if low < high:
                yield low, high


def _pieces(runs: Sequence[Run]) -> List[Run]:
    return [(at, min(at + _PIECE, end)) for start, end in runs for at in range(start, end, _PIECE)]
