"""Naming the managed frames of one core, in this process: stacks are unwound already, names are not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import List, NamedTuple, Sequence

from bench.measure import Spread


class NameFigures(NamedTuple):
    frames: int
    named: int
    naming: Spread
    """Seconds of processor time for all names of all stacks."""
    unwinding: Spread
    """The stacks that were named, without lldb."""


def measure(core: Path, modules: Sequence[Path], rounds: int) -> NameFigures:
    from dumpwalk.coreclr.managed_frames import name_frames
    from dumpwalk.coreclr.runtime_view import read_runtime
    from dumpwalk.coreclr.unwinding.attach import attach
    from dumpwalk.debugger.open import opened

    naming: List[float] = []
    unwinding: List[float] = []
    frames = named = 0
    for _ in range(rounds):
        with opened(str(core), [str(m) for m in modules]) as process:
            view = read_runtime(process).managed
            if view is None:
                return NameFigures(0, 0, Spread.of([0.0]), Spread.of([0.0]))
            attach(process, view)
            began = time.process_time()
            for thread in process.threads:
                thread.frames()
            between = time.process_time()
            result = name_frames(process, view)
            naming.append(time.process_time() - between)
            unwinding.append(between - began)
            frames, named = result.all, result.named
    return NameFigures(frames, named, Spread.of(naming), Spread.of(unwinding))


def sentence(name: str, figures: NameFigures) -> str:
    return (
        f"{name}: {figures.named} of {figures.frames} managed frames named in {figures.naming.median * 1000:.0f} ms of processor "
        f"time; the stacks themselves took {figures.unwinding.median * 1000:.0f} ms without lldb"
    )
