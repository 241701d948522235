"""Where the dispatch cache is, the walk and audit of it, and its lock."""

from __future__ import annotations

from typing import Iterable, Sequence

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import CacheLook, NativeWaits
from dumpwalk.analysis.step import Step
from dumpwalk.core.process import Process
from dumpwalk.coreclr import dac_table
from dumpwalk.coreclr.dispatch import cache as dispatch_cache
from dumpwalk.coreclr.dispatch import locate as locate_cache
from dumpwalk.coreclr.dispatch.locate import Candidate, Location
from dumpwalk.coreclr.dispatch.loops import walk_loop_at
from dumpwalk.coreclr.locks import crst
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.locks.waits import Wait, register_candidates


def look_for_cache(process: Process, runtime: RuntimeView, waits: Sequence[Wait], ways: Sequence[str]) -> CacheLook:
    location = _locate(process, runtime, waits, ways)
    if location.shape is None:
        return CacheLook(location, None, None)
    cache = dispatch_cache.walk(process, location.shape, location.located_by)
    cache.others = location.others
    dispatch_cache.audit_others(process, cache)
    return CacheLook(location, cache, crst.read_lock(process.memory, cache.shape.lock, cache.shape.layout))


def _locate(process: Process, runtime: RuntimeView, waits: Sequence[Wait], ways: Sequence[str]) -> Location:
    def from_registers() -> Iterable[Candidate]:
        for wait in waits:
            if wait.lock is not None and wait.is_crst:
                yield Candidate(wait.lock.address, f"thread {wait.thread.index}: the lock it waits for", used=True)
        running = [w.thread for w in waits if not w.call.inside]
        for thread in running:
            loop = walk_loop_at(process.code, process.arch, thread.registers.get(process.arch.pc, 0))
            address = loop.cache(thread.registers) if loop else None
            if loop is not None and address is not None:
                yield Candidate(
                    address, f"thread {thread.index}: {loop.this or loop.table_register}", sure=True, used=True
                )
        for thread, _, name, value in register_candidates(process, running, deep=False):
            yield Candidate(value, f"thread {thread.index}: {name}")
        waiting = [w.thread for w in waits if w.call.kind in ("futex", "psynch-mutex", "psynch-condition")]
        for thread, frame, name, value in register_candidates(process, waiting[:64], deep=True):
            yield Candidate(value, f"thread {thread.index}, frame {frame}: {name}")

    def from_table() -> Iterable[Candidate]:
        info, table = runtime.info, runtime.table
        if info is None or table is None:
            return ()
        return dac_table.resolve_cache_candidates(process, info, table)

    return locate_cache.locate(process, list(runtime.layouts), from_registers(), from_table, ways)


def _look(known: Gathered) -> CacheLook:
    return look_for_cache(known.process, known.of(RuntimeView), known.of(NativeWaits).waits, known.ways)


STEP = Step(
    name="dispatch cache",
    rank=50,
    gives=CacheLook,
    needs=(RuntimeView, NativeWaits),
    look=_look,
    instead=lambda known: CacheLook(Location(), None, None),
    areas=("dispatch-cache",),
    applies=lambda known: known.runtime is not None,
)
