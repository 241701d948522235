"""Gathers the facts of one process: runtime, cache, waits, locks, walkers, managed threads, the wait-for graph."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Type

from dumpwalk import limits
from dumpwalk.analysis import coverage, limit_hits, unexplained, wait_graph
from dumpwalk.analysis.budget import Phases
from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.analysis.locks import lock_facts, thread_index
from dumpwalk.analysis.suspension import find_suspension
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Frame, Process, no_registers
from dumpwalk.coreclr import dac_table
from dumpwalk.coreclr.dispatch import cache as dispatch_cache
from dumpwalk.coreclr.dispatch import frame_names
from dumpwalk.coreclr.dispatch import locate as locate_cache
from dumpwalk.coreclr.dispatch.locate import WAYS, Candidate, Location
from dumpwalk.coreclr.dispatch.loops import walk_loop_at
from dumpwalk.coreclr.dispatch.stub_image_check import check_stub_image
from dumpwalk.coreclr.dispatch.stuck import Walker, find_walkers
from dumpwalk.coreclr.layouts import Layout, matching
from dumpwalk.coreclr.locks import crst
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.managed_frames import name_frames
from dumpwalk.coreclr.managed_threads import ManagedThreads, read_threads
from dumpwalk.coreclr.runtime import RuntimeInfo, identify
from dumpwalk.coreclr.thread_names import thread_names
from dumpwalk.locks.graph import Graph
from dumpwalk.locks.kind import Reading, Scene, read_all
from dumpwalk.locks.state import LockState
from dumpwalk.locks.waits import Wait, WaitReader, register_candidates

Progress = Callable[[str], None]


def collect(process: Process, progress: Progress = lambda phase: None, ways: Sequence[str] = WAYS) -> Facts:
    """All facts of a process. `ways` restricts how the cache may be looked for (each works alone)."""
    phases = Phases(progress)
    runtime = phases.run("runtime", lambda: identify(process), lambda: None)
    layouts = list(
        matching(process.os, process.arch.name, runtime.libc if runtime else None, runtime.major if runtime else None)
    )
    phases.run("stacks", lambda: _unwind(process), lambda: _leave_stacks(process), limits.STACKS_SHARE)
    view, code = None, None
    if runtime is not None:
        view = ManagedView(process, runtime)
        there = view
        code = phases.run("managed code", lambda: name_frames(process, there), lambda: None)
    reader = WaitReader(process, layouts if runtime else [], runtime.libc if runtime else None)
    waits: List[Wait] = phases.run("waits", lambda: [reader.read(thread) for thread in process.threads], list)
    location, cache = Location(), None
    if runtime is not None:
        known = runtime
        location, cache = phases.run(
            "dispatch cache",
            lambda: _locate_and_walk(process, known, layouts, waits, ways),
            lambda: (Location(), None),
        )
    write_lock = _write_lock_state(process, cache)

    managed = None
    if runtime is not None:
        managed = phases.run("managed threads", lambda: read_threads(process, known), lambda: None)
    threads = thread_index(process, managed)
    names: Dict[int, str] = {}
    if view is not None and managed is not None:
        there, records = view, managed
        names = phases.run("thread names", lambda: thread_names(there, records), dict)

    def read_locks() -> Tuple[List[Walker], List[Wait], List[LockFact], Optional[Reading]]:
        walkers = find_walkers(process, waits, cache.walk if cache else None, write_lock)
        if runtime is not None:
            _attach_to_known_lock(waits, write_lock)
            frame_names.infer(process, runtime, waits, walkers, write_lock)
            _attach_by_frames(process, waits, walkers, write_lock)
        scene = Scene(process, threads, waits, _known(process, runtime, view, managed, cache))
        reading = read_all(scene)
        facts = lock_facts(process, threads, reading.waits, write_lock, reading.found, managed)
        return walkers, list(reading.waits), facts, reading

    walkers, waits, locks, reading = phases.run("locks", read_locks, lambda: ([], waits, [], None))
    facts = Facts(
        process=process,
        runtime=runtime,
        layouts=layouts,
        waits=waits,
        location=location,
        cache=cache,
        write_lock=next((k for k in locks if write_lock and k.state.address == write_lock.address), None),
        walkers=walkers,
        locks=locks,
        managed=managed,
        suspension=None,
        graph=Graph(),
        stub_image=check_stub_image(process, runtime) if runtime is not None else None,
        threads=threads,
        reading=reading,
        view=view,
        code=code,
        thread_names=names,
    )
    facts.suspension = find_suspension(facts)
    more = (reading.edges, reading.labels) if reading is not None else ((), {})
    facts.graph = wait_graph.build(locks, waits, facts.write_lock, walkers, facts.suspension, *more)
    facts.unsettled = unexplained.unsettled(facts)
    coverage.record(facts)
    limit_hits.record(facts)
    if phases.stopped is not None:
        coverage.record_stop(facts, phases.unfinished, phases.stopped)
    return facts


def _unwind(process: Process) -> None:
    for thread in process.threads:
        thread.frames()


def _leave_stacks(process: Process) -> None:
    """Threads whose stacks were not reached in time have the frame of their pc alone: nobody unwinds them later."""
    modules = ModuleMap(process.modules)
    for thread in process.threads:
        if not thread.unwound:
            pc = thread.registers.get(process.arch.pc, 0)
            module = modules.at(pc)
            sp = thread.registers.get(process.arch.sp)
            frame = Frame(0, pc, module, None, None, "none", "context", managed=False, registers=no_registers, sp=sp)
            thread.replace_frames([frame])


def _locate_and_walk(
    process: Process, runtime: RuntimeInfo, layouts: Sequence[Layout], waits: Sequence[Wait], ways: Sequence[str]
) -> Tuple[Location, Optional[dispatch_cache.Cache]]:
    location = _locate(process, runtime, layouts, waits, ways)
    if location.shape is None:
        return location, None
    cache = dispatch_cache.walk(process, location.shape, location.located_by)
    cache.others = location.others
    return location, cache


def _locate(
    process: Process, runtime: RuntimeInfo, layouts: Sequence[Layout], waits: Sequence[Wait], ways: Sequence[str]
) -> Location:
    def from_registers() -> Iterable[Candidate]:
        for wait in waits:
            if wait.lock is not None and wait.is_crst:
                yield Candidate(wait.lock.address, f"thread {wait.thread.index}: the lock it waits for")
        running = [w.thread for w in waits if not w.call.inside]
        for thread in running:
            loop = walk_loop_at(process.code, process.arch, thread.registers.get(process.arch.pc, 0))
            address = loop.cache(thread.registers) if loop else None
            if loop is not None and address is not None:
                yield Candidate(address, f"thread {thread.index}: {loop.this or loop.table_register}", sure=True)
        for thread, _, name, value in register_candidates(process, running, deep=False):
            yield Candidate(value, f"thread {thread.index}: {name}")
        waiting = [w.thread for w in waits if w.call.kind in ("futex", "psynch-mutex", "psynch-condition")]
        for thread, frame, name, value in register_candidates(process, waiting[:64], deep=True):
            yield Candidate(value, f"thread {thread.index}, frame {frame}: {name}")

    def from_table() -> Iterable[Candidate]:
        table = dac_table.read_dac_table(process, runtime)
        return dac_table.resolve_cache_candidates(process, runtime, table) if table is not None else ()

    return locate_cache.locate(process, layouts, from_registers(), from_table, ways)


def _write_lock_state(process: Process, cache: Optional[dispatch_cache.Cache]) -> Optional[LockState]:
    if cache is None:
        return None
    return crst.read_lock(process.memory, cache.shape.lock, cache.shape.layout)


def _attach_to_known_lock(waits: Sequence[Wait], lock: Optional[LockState]) -> None:
    """A system call that names a word inside m_writeLock waits for m_writeLock, whatever its bytes looked like alone."""
    if lock is None:
        return
    for wait in waits:
        if wait.lock is not None and wait.lock.address == lock.address:
            wait.lock, wait.is_crst = lock, True
        elif wait.lock is None and wait.word is not None and lock.holds(wait.word):
            wait.lock, wait.is_crst, wait.kind, wait.grade = lock, True, "mutex", "proved"
            wait.how = f"its system call waits on 0x{wait.word:x}, inside m_writeLock"


def _attach_by_frames(
    process: Process, waits: Sequence[Wait], walkers: Sequence[Walker], lock: Optional[LockState]
) -> None:
    """Threads stopped just around the system call: a lock function above which a frame holds m_writeLock in a register."""
    if lock is None:
        return
    walking = {w.thread.index for w in walkers if w.stuck or w.owns_lock}
    for wait in waits:
        if wait.lock is not None or wait.thread.index in walking:
            continue
        if lock.owner_tid is not None and process.thread_by_tid(lock.owner_tid) is wait.thread:
            continue
        where = frame_names.enters_lock(process, wait.thread, lock.address)
        if where is not None:
            wait.lock, wait.is_crst, wait.kind, wait.grade = lock, True, "mutex", "corroborated"
            wait.how = where


def _known(
    process: Process,
    runtime: Optional[RuntimeInfo],
    view: Optional[ManagedView],
    managed: Optional[ManagedThreads],
    cache: Optional[dispatch_cache.Cache],
) -> Dict[Type[Any], Callable[[], Any]]:
    """What kinds of locks may ask the scene for."""
    known: Dict[Type[Any], Callable[[], Any]] = {}
    if runtime is not None:
        there = runtime
        known[RuntimeInfo] = lambda: there
        known[ManagedView] = lambda: view
    if managed is not None:
        known[ManagedThreads] = lambda: managed
    if cache is not None:
        known[dispatch_cache.Cache] = lambda: cache
    return known
