"""Brings the segments of a core into one order: sorted, without overlap, cut where damage makes them claim too much."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Sequence, Tuple

from dumpwalk.core.corefile import Segment

_TOP = 1 << 64


def lay_out(raw: Sequence[Segment]) -> Tuple[Tuple[Segment, ...], int]:
    """(segments sorted by start and free of overlap, how many had to be cut or dropped for it).

    Where two overlap, captured bytes win over a claim without bytes. Where two captured ones overlap and lead to different
    places of the file, nothing is claimed: readers differ in which one they take.
    """
    odd = 0
    disputed: List[Tuple[int, int]] = []
    result: List[Segment] = []
    for segment in sorted(raw, key=lambda s: (s.start, -s.file_size)):
        if segment.start == segment.end:
            continue
        if not 0 <= segment.start < segment.end <= _TOP:
            odd += 1
            continue
        if result and segment.start < result[-1].end:
            odd += 1
            previous = result[-1]
            captured_end = previous.start + previous.file_size
            both = (segment.start, min(captured_end, segment.start + segment.file_size))
            if both[0] < both[1] and segment.offset - segment.start != previous.offset - previous.start:
                disputed.append(both)
            if segment.start >= captured_end and segment.file_size:
                result[-1] = replace(previous, end=segment.start)
            elif segment.end <= previous.end:
                continue
            else:
                cut = previous.end - segment.start
                segment = replace(
                    segment,
                    start=previous.end,
                    offset=segment.offset + min(cut, segment.file_size),
                    file_size=max(0, segment.file_size - cut),
                )
        result.append(segment)
    return tuple(_without(result, disputed)), odd


def _without(segments: Sequence[Segment], ranges: Sequence[Tuple[int, int]]) -> List[Segment]:
    """The segments with these ranges left out."""
    left = list(segments)
    for low, high in ranges:
        pieces: List[Segment] = []
        for segment in left:
            if segment.end <= low or high <= segment.start:
                pieces.append(segment)
                continue
            if segment.start < low:
                kept = min(segment.file_size, low - segment.start)
                pieces.append(replace(segment, end=low, file_size=kept))
            if high < segment.end:
                skipped = high - segment.start
                size = max(0, segment.file_size - skipped)
                pieces.append(replace(segment, start=high, offset=segment.offset + skipped, file_size=size))
        left = pieces
    return left
