"""Where a dump holds what names managed code: found by the form of the structures, from the frames that the report names.

Offsets are those of .NET Core 3.1 to .NET 10 on x64, written down a second time: nothing here is dumpwalk's.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Dict, Iterator, List, Tuple

from tests.fuzz.subjects import subject

Place = Tuple[int, int]
"""(address, bytes)."""
_ROOTS = 16
_TABLES_BYTES = 0x4000
_NEAR = 4 << 30


@cache
def code_places(name: str) -> Dict[str, List[Place]]:
    """What → its places, of the subject of this name; empty where no frame has a method's name."""
    chosen = subject(name)
    frames = [f for t in chosen.report["threads"] for f in t["frames"] if f["name_source"] == "metadata"]
    pcs = sorted({int(f["pc"], 16) for f in frames})
    if not pcs:
        return {}
    found: Dict[str, List[Place]] = {}
    for start in sorted({int(f["pc"], 16) - f["offset"] for f in frames if f["offset"] is not None}):
        for what, place in _method(name, start):
            found.setdefault(what, []).append(place)
    for what, place in (*_ranges(name, pcs), *_metadata(name)):
        found.setdefault(what, []).append(place)
    return {what: sorted(set(places)) for what, places in found.items()}


def _method(name: str, start: int) -> Iterator[Tuple[str, Place]]:
    """A jitted method's code header, its MethodDesc, the chunk before it, the method table, its class and module."""
    dump = subject(name).dump
    header = dump.word(start - 8) or 0
    method = dump.word(header + 0x18) or 0
    index = dump.word(method + 2, 1)
    if header % 8 or method % 8 or header < 0x1000 or index is None:
        return
    yield "code header", (start - 8, 8)
    yield "code header", (header, 0x30)
    yield "method desc", (method, 0x28)
    chunk = method - 8 * index - 0x18
    yield "chunk", (chunk, 0x18)
    table = dump.word(chunk) or 0
    if dump.offset_of(table, 0x40) is not None:
        yield "method table", (table, 0x40)
        for word in range(0x10, 0x40, 8):
            pointed = dump.word(table + word) or 0
            if pointed % 8 == 0 and dump.offset_of(pointed, 0x80) is not None:
                yield "class or module", (pointed, 0x80)


def _ranges(name: str, pcs: List[int]) -> Iterator[Tuple[str, Place]]:
    """Pairs of words that begin and end around a named address: code ranges and their fragments, and code heaps with the
    nibble map of the code around the addresses."""
    dump = subject(name).dump
    first, last = pcs[0], pcs[-1]
    for segment, offset, length, writable in dump.segments:
        if not writable:
            continue
        words = struct.unpack_from(f"<{length // 8}Q", dump.data, offset)
        for index, (low, high) in enumerate(zip(words, words[1:])):
            if not (first - _NEAR < low <= last and first < high < low + _NEAR):
                continue
            inside = [pc for pc in pcs if low <= pc < high]
            if not inside:
                continue
            at = segment + 8 * index
            base, nibbles = dump.word(at + 0x10) or 0, dump.word(at + 0x18) or 0
            if base % 0x1000 == 0 and low - 0x10000 < base <= low and dump.offset_of(nibbles, 4) is not None:
                yield "code heap", (at - 0x10, 0x30)
                for pc in inside:
                    yield "nibble map", (nibbles + (pc - base) // 256 * 4 - 8, 12)
            elif _is_range(name, at, low, high):
                yield "code range", (at - 8, 0x40)
                section = dump.word(at + 0x10) or 0
                if dump.word(section) == low:
                    yield "code range", (section, 0x40)


def _is_range(name: str, at: int, low: int, high: int) -> bool:
    """A fragment, which leads to a section of the same range; a section of 3.1, with its manager, flags and heap or module."""
    dump = subject(name).dump
    section, flags = dump.word(at + 0x10) or 0, dump.word(at + 0x28, 4) or 0
    if (dump.word(section), dump.word(section + 8)) == (low, high):
        return True
    return 1 <= flags <= 7 and dump.word(section) is not None and dump.word(dump.word(at + 0x30) or 0) is not None


def _metadata(name: str) -> Iterator[Tuple[str, Place]]:
    """Metadata roots with their streams' headers and the first rows of the tables."""
    dump = subject(name).dump
    roots = 0
    for segment, offset, length, _ in dump.segments:
        at = dump.data.find(b"BSJB\x01\x00\x01\x00", offset, offset + length)
        while at >= 0 and roots < _ROOTS:
            place = segment + at - offset
            yield "metadata root", (place, 0x70)
            yield "metadata tables", (place + 0x70, min(_TABLES_BYTES, offset + length - at - 0x70))
            roots += 1
            at = dump.data.find(b"BSJB\x01\x00\x01\x00", at + 8, offset + length)
