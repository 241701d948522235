"""Locks with their holders, waiters and names: from the waits, and from what the kinds of locks found beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from dumpwalk.analysis.facts import Holder, LockFact
from dumpwalk.core.process import Process
from dumpwalk.core.thread_index import ThreadIndex
from dumpwalk.coreclr.locks import names as lock_names
from dumpwalk.coreclr.locks.static_crsts import name_at
from dumpwalk.coreclr.managed_threads import ManagedThreads
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.locks.state import LockState, Named, Sort
from dumpwalk.locks.waits import Wait

_STORE_LOCK = 0x10
"""ThreadStore's own lock in every version (src/coreclr/vm/threads.h)."""


def lock_facts(
    process: Process,
    threads: ThreadIndex,
    waits: Sequence[Wait],
    write_lock: Optional[LockState],
    found: Iterable[LockState] = (),
    managed: Optional[ManagedThreads] = None,
    runtime: Optional[RuntimeView] = None,
) -> List[LockFact]:
    """One row for each lock that somebody waits for, that a kind of locks found, and for the cache's own; by address."""
    states: Dict[int, Tuple[LockState, Sort]] = {}
    waiters: Dict[int, List[Wait]] = {}
    if write_lock is not None:
        states[write_lock.address] = (write_lock, "crst")
    for state in found:
        states.setdefault(state.address, (state, state.kind or _system_kind(state)))
    for wait in waits:
        if wait.lock is not None:
            kind: Sort = "crst" if wait.is_crst else (wait.lock.kind or _system_kind(wait.lock))
            states.setdefault(wait.lock.address, (wait.lock, kind))
            waiters.setdefault(wait.lock.address, []).append(wait)
    holders = {address: _holders(threads, state) for address, (state, _) in states.items()}
    shown = _numbers_shown(process, holders.values())
    rows = []
    for address in sorted(states):
        state, kind = states[address]
        mine = tuple(waiters.get(address, ()))
        name: Optional[str]
        source: Optional[Named]
        if write_lock is not None and address == write_lock.address:
            name, source = lock_names.WRITE_LOCK, "member"
        elif state.name is not None:
            name, source = state.name, state.name_source
        else:
            name, source = _name(process, state, kind, mine, managed, runtime)
        held = holders[address] if shown else tuple(_corroborated(h) for h in holders[address])
        rows.append(LockFact(state, name, source, kind, held, mine, state.note))
    return rows


def _numbers_shown(process: Process, holders: Iterable[Tuple[Holder, ...]]) -> bool:
    """Whether the dump's numbers of threads are shown to be the process's own: whose number an owner word holds is proved only
    then. Where no control block is in the dump, owners show it themselves: two different words of memory that are ids of threads.
    """
    named = {h.owner.number for hs in holders for h in hs if h.thread is not None and h.owner.numbering == "os-tid"}
    if len(named) > 1:
        process.numbering.confirm("the owners of its locks")
    return process.numbering.shown


def _corroborated(holder: Holder) -> Holder:
    if holder.owner.numbering != "os-tid":
        return holder
    return replace(holder, owner=replace(holder.owner, grade="corroborated"))


def _system_kind(state: LockState) -> Sort:
    return "pal" if state.implementation.startswith("pal") else "pthread"


def _holders(threads: ThreadIndex, state: LockState) -> Tuple[Holder, ...]:
    return tuple(Holder(owner, *threads.named(owner.numbering, owner.number)) for owner in state.owners)


def _name(
    process: Process,
    state: LockState,
    kind: Sort,
    waiters: Sequence[Wait],
    managed: Optional[ManagedThreads],
    runtime: Optional[RuntimeView],
) -> Tuple[Optional[str], Optional[Named]]:
    if managed is not None and managed.store is not None and state.address == managed.store + _STORE_LOCK:
        return lock_names.THREAD_STORE_LOCK, "member"
    name = lock_names.by_symbol(process, state.address)
    if name is not None:
        return name, "symbol"
    if kind in ("crst", "pal"):
        name = name_at(process.memory, runtime, state.address) if runtime is not None else None
        if name is not None:
            return name, "known-build"
        name = lock_names.by_callers([w.thread.frames() for w in waiters])
        if name is not None:
            return name, "caller"
    return None, None
