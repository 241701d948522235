"""Both unwinders alone on one core, in this process: lldb's frames, what is added to them, and the stacks without lldb."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from bench.measure import Spread


class StackFigures(NamedTuple):
    threads: int
    frames: int
    with_lldb: Spread
    """Seconds of processor time for all stacks, lldb's work included; the core is open already."""
    completion: Spread
    """The part of it that puts back what lldb lost."""
    without: Spread
    """The same stacks without lldb, names of functions included."""


def measure(core: Path, modules: Sequence[Path], rounds: int) -> StackFigures:
    from dumpwalk.debugger.discovery import discover, import_lldb

    lldb = import_lldb(discover())
    seconds: Dict[str, List[float]] = {"lldb": [], "completion": [], "bare": []}
    frames = threads = 0
    for _ in range(rounds):
        for name, debugger in (("lldb", lldb), ("bare", None)):
            spent, completed, threads, frames = _once(core, modules, debugger)
            seconds[name].append(spent)
            if completed is not None:
                seconds["completion"].append(completed)
    spreads = [Spread.of(seconds[name]) for name in ("lldb", "completion", "bare")]
    return StackFigures(threads, frames, *spreads)


def _once(core: Path, modules: Sequence[Path], lldb: Optional[Any]) -> tuple:
    from dumpwalk.coreclr.managed import ManagedView
    from dumpwalk.coreclr.runtime import identify
    from dumpwalk.coreclr.unwinding.attach import attach
    from dumpwalk.debugger.open import opened
    from dumpwalk.unwinding.completion import Completion

    completed: List[float] = []
    real = Completion.complete

    def timed(self: Completion, *arguments: Any) -> Any:
        began = time.process_time()
        answer = real(self, *arguments)
        completed.append(time.process_time() - began)
        return answer

    with opened(str(core), [str(m) for m in modules], lldb=lldb) as process:
        runtime = identify(process)
        if runtime is not None:
            attach(process, ManagedView(process, runtime))
        Completion.complete = timed  # type: ignore[method-assign, assignment]
        try:
            began = time.process_time()
            frames = sum(len(thread.frames()) for thread in process.threads)
            spent = time.process_time() - began
        finally:
            Completion.complete = real  # type: ignore[method-assign]
        return spent, sum(completed) if lldb is not None else None, len(process.threads), frames


def sentence(name: str, told: StackFigures) -> str:
    return (
        f"stacks of {name}: {told.threads} threads, {told.frames} frames; with lldb {told.with_lldb.median:.3f} s of processor "
        f"time, {told.completion.median:.3f} s of it for what lldb lost; without lldb {told.without.median:.3f} s"
    )
