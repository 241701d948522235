"""What both writers of cores share: which parts of the process's memory go into the file, and their bytes, streamed."""

from __future__ import annotations

from typing import Callable, Iterator, List, NamedTuple, Sequence, Tuple

from dumpwalk.core.corefile import EvidenceOf, Segment
from dumpwalk.core.memory import Memory
from dumpwalk.dataclass import dataclass

_PAGE = 0x1000
_CHUNK = 1 << 20

Change = Callable[[int, bytes], bytes]
"""Gives the bytes that stand for those of an address, as many: what redaction does."""


class Note(NamedTuple):
    owner: str
    kind: int
    """0 in Mach-O, whose notes have none."""
    body: bytes


class Part(NamedTuple):
    """A run of the process's memory as one entry of a core: its bytes are in the file, or it is only known to be there."""

    start: int
    end: int
    kept: bool
    segment: Segment

    @property
    def held(self) -> int:
        """Bytes of it in the file."""
        return self.end - self.start if self.kept else 0


@dataclass(frozen=True)
class Content:
    """A core to be written."""

    arch: str
    """x86_64 or aarch64."""
    notes: Sequence[Note]
    """In the file's order; without the note on the evidence core, which stands last."""
    segments: Sequence[Segment]
    """The process's memory, in order of address, without overlap; `start`, `file_size` and the protection count."""
    memory: Memory
    kept: Sequence[Tuple[int, int]]
    """(start, end) in order, without overlap. What of it is not captured is left out."""
    told: EvidenceOf
    change: Change = lambda address, data: data

    def parts(self) -> List[Part]:
        """Every segment in pieces, kept or not. What is not kept has an entry of its own: a debugger may read zeros behind the
        bytes of an entry that claims more than it holds."""
        found: List[Part] = []
        first = 0
        for segment in self.segments:
            captured = segment.start + min(segment.file_size, segment.end - segment.start)
            while first < len(self.kept) and self.kept[first][1] <= segment.start:
                first += 1
            at, index = segment.start, first
            while index < len(self.kept) and self.kept[index][0] < captured:
                low, high = max(self.kept[index][0], segment.start), min(self.kept[index][1], captured)
                index += 1
                if low >= high:
                    continue
                if at < low:
                    found.append(Part(at, low, False, segment))
                found.append(Part(low, high, True, segment))
                at = high
            if at < segment.end:
                found.append(Part(at, segment.end, False, segment))
        return found

    def bytes_of(self, part: Part) -> Iterator[bytes]:
        """The bytes that are kept of it. Raises OSError where they cannot be read any more."""
        at, end = part.start, part.start + part.held
        while at < end:
            size = min(_CHUNK, end - at)
            data = self.memory.read(at, size)
            if data is None:
                raise OSError("the dump was cut or changed while it was read")
            yield self.change(at, data)
            at += size


def flags_of(segment: Segment) -> int:
    """1 readable, 2 writable, 4 executable."""
    return segment.readable | segment.writable << 1 | segment.executable << 2


def placed(position: int, part: Part) -> int:
    """Where in the file its bytes may begin: at the same place of a page as in memory."""
    return position + (part.start - position) % _PAGE if part.kept else position
