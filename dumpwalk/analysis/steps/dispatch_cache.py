"""Where the dispatch cache is, the walk and audit of it, and its lock."""

from __future__ import annotations

from typing import Iterable, Iterator, Sequence

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import CacheLook, NativeWaits
from dumpwalk.analysis.step import Step
from dumpwalk.claims.model import Coverage
from dumpwalk.core.names import plural
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

    def from_outer_frames() -> Iterable[Candidate]:
        waiting = [w.thread for w in waits if w.call.kind in ("futex", "psynch-mutex", "psynch-condition")]
        for thread, frame, name, value in register_candidates(process, waiting[:64], deep=True):
            yield Candidate(value, f"thread {thread.index}, frame {frame}: {name}")

    def from_table() -> Iterable[Candidate]:
        info, table = runtime.info, runtime.table
        if info is None or table is None:
            return ()
        return dac_table.resolve_cache_candidates(process, info, table)

    image = runtime.info.image if runtime.info is not None else None
    return locate_cache.locate(
        process, image, list(runtime.layouts), from_registers(), from_table, ways, from_outer_frames
    )


def _look(known: Gathered) -> CacheLook:
    return look_for_cache(known.process, known.of(RuntimeView), known.of(NativeWaits).waits, known.ways)


def _covers(known: Gathered) -> Iterator[Coverage]:
    if known.runtime is None:
        yield Coverage("dispatch-cache", "none", _no_runtime(known))
        return
    location, cache = known.location, known.cache
    if cache is None:
        if location.not_created:
            yield Coverage("dispatch-cache", "complete", "g_resolveCache is NULL: the process has not made one")
        elif location.pointer_not_captured or _is_small(known):
            yield Coverage("dispatch-cache", "none", "not found in what this kind of dump holds")
        else:
            yield Coverage("dispatch-cache", "none", f"not found (tried: {', '.join(location.tried)})")
        return
    walk = cache.walk
    if walk.unknown_buckets:
        yield Coverage(
            "dispatch-cache",
            "partial",
            plural(walk.unknown_buckets, "chain leaves", "chains leave") + " the captured memory",
        )
    else:
        why = f"{plural(walk.elements, 'element')} in {walk.used_buckets:,} of 4,096 buckets walked and audited"
        if walk.links > walk.misplaced:
            why += f"; pNext at +0x18 confirmed by {plural(walk.links - walk.misplaced, 'link')}"
        others = {o.address for o in cache.others if o.table != cache.shape.table}
        if others:
            why += (
                f"; {plural(len(others), 'more structure looks', 'more structures look')} like it, at 0x{min(others):x}"
            )
        yield Coverage("dispatch-cache", "complete", why)


def _no_runtime(known: Gathered) -> str:
    if known.other is not None and known.other.dotnet:
        return f"{known.other.name} has none"
    traces = known.traces
    if traces is None or (traces.complete and not traces.sentences):
        return "no .NET runtime was found in this process"
    said = [*traces.sentences, *([traces.why_not] if traces.why_not else [])]
    return f"no .NET runtime was found in this process, but: {'; '.join(said)}"


def _is_small(known: Gathered) -> bool:
    core = known.process.corefile
    return core is not None and core.kind in ("mini", "triage")


STEP = Step(
    name="dispatch cache",
    rank=50,
    gives=CacheLook,
    needs=(RuntimeView, NativeWaits),
    look=_look,
    instead=lambda known: CacheLook(Location(), None, None),
    covers=_covers,
    areas=("dispatch-cache",),
    applies=lambda known: known.runtime is not None,
)
