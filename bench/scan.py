"""The structural scan alone: bytes a second, against a plain read of the same bytes, in this process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import List, NamedTuple

from bench.measure import Spread


class ScanFigures(NamedTuple):
    size: int
    """Bytes that the segments searched have; holes of the file are part of them."""
    read: int
    """Bytes that had to be read."""
    scan: Spread
    """Seconds."""
    plain: Spread
    """Seconds of a plain read of the same bytes in the same pieces."""
    found: int


def measure(core: Path, rounds: int) -> ScanFigures:
    from dumpwalk.core.memory import FileMemory, filled_runs
    from dumpwalk.coreclr.dispatch.locate import scan
    from dumpwalk.coreclr.layouts import matching
    from dumpwalk.dump.preflight import open_core

    told = open_core(str(core))
    memory = FileMemory(told.file, told.segments)
    searched = [s for s in memory.segments() if s.writable and s.file_size >= 0x8000]
    runs = [run for s in searched for run in filled_runs(memory, s.start, s.start + s.file_size)]
    layouts = list(matching(told.os, told.arch, None, None))
    scans: List[float] = []
    plains: List[float] = []
    shapes: list = []
    for number in range(-1, rounds):
        started = time.perf_counter()
        for start, end in runs:
            for address in range(start, end, 1 << 20):
                memory.read(address, min(1 << 20, end - address))
        between = time.perf_counter()
        shapes, _ = scan(memory, layouts)
        ended = time.perf_counter()
        if number >= 0:
            plains.append(between - started)
            scans.append(ended - between)
    memory.close()
    size, read = sum(s.file_size for s in searched), sum(end - start for start, end in runs)
    return ScanFigures(size, read, Spread.of(scans), Spread.of(plains), len(shapes))


def sentence(name: str, told: ScanFigures) -> str:
    return (
        f"structural scan of {name}: {told.size / 1e9:.2f} GB, {told.read / 1e9:.2f} GB of it no hole, in "
        f"{told.scan.median:.3f} s ({told.scan.low:.3f}..{told.scan.high:.3f}): "
        f"{told.size / 1e9 / told.scan.median:.1f} GB/s, {told.read / 1e9 / told.scan.median:.1f} GB/s of what is read; "
        f"a plain read of the same bytes takes {told.plain.median:.3f} s; {told.found} cache found"
    )
