"""Brings the segments of a core into one order: sorted, without overlap, cut where damage makes them claim too much."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Sequence, Tuple

from dumpwalk.core.corefile import Segment

_TOP = 1 << 64


def lay_out(raw: Sequence[Segment]) -> Tuple[Tuple[Segment, ...], int]:
    """(segments sorted by start and free of overlap, how many had to be cut or dropped for it).

    Where two overlap, captured bytes win over a claim without bytes; between two captured ones the lower start wins.
    """
    odd = 0
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
    return tuple(result), odd
