"""Locks with their holders, waiters and names: from the waits, and from what the kinds of locks found beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterable, List, Optional, Sequence

from dumpwalk.analysis.facts import Holder, LockFact
from dumpwalk.core.process import Process
from dumpwalk.core.thread_index import ThreadIndex
from dumpwalk.coreclr.locks import names as lock_names
from dumpwalk.coreclr.managed_threads import ManagedThreads
from dumpwalk.locks.state import LockState, Sort
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
) -> List[LockFact]:
    """One row for each lock that somebody waits for, that a kind of locks found, and for the cache's own; by address."""
    rows: Dict[int, LockFact] = {}

    def row(state: LockState, kind: Sort) -> LockFact:
        known = rows.get(state.address)
        if known is None:
            known = LockFact(state, state.name, state.name_source, kind, _holders(threads, state), note=state.note)
            rows[state.address] = known
        return known

    if write_lock is not None:
        lock = row(write_lock, "crst")
        lock.name, lock.name_source = lock_names.WRITE_LOCK, "member"
    for state in found:
        row(state, state.kind or _system_kind(state))
    for wait in waits:
        if wait.lock is not None:
            kind: Sort = "crst" if wait.is_crst else (wait.lock.kind or _system_kind(wait.lock))
            row(wait.lock, kind).waiters.append(wait)
    for lock in rows.values():
        if lock.name is None:
            _name(process, lock, managed)
    _grade_owners(process, rows)
    return [rows[address] for address in sorted(rows)]


def _grade_owners(process: Process, rows: Dict[int, LockFact]) -> None:
    """Whose number an owner word holds is proved only where the dump's numbers are shown to be the process's own.

    Where no control block is in the dump, owners show it themselves: two different words of memory that are ids of threads.
    """
    named = {
        h.owner.number
        for r in rows.values()
        for h in r.holders
        if h.thread is not None and h.owner.numbering == "os-tid"
    }
    if len(named) > 1:
        process.numbering.confirm("the owners of its locks")
    if process.numbering.shown:
        return
    for row in rows.values():
        row.holders = tuple(
            replace(h, owner=replace(h.owner, grade="corroborated")) if h.owner.numbering == "os-tid" else h
            for h in row.holders
        )


def _system_kind(state: LockState) -> Sort:
    return "pal" if state.implementation.startswith("pal") else "pthread"


def _holders(threads: ThreadIndex, state: LockState) -> tuple[Holder, ...]:
    return tuple(Holder(owner, *threads.named(owner.numbering, owner.number)) for owner in state.owners)


def _name(process: Process, lock: LockFact, managed: Optional[ManagedThreads]) -> None:
    if managed is not None and managed.store is not None and lock.state.address == managed.store + _STORE_LOCK:
        lock.name, lock.name_source = lock_names.THREAD_STORE_LOCK, "member"
        return
    name = lock_names.by_symbol(process, lock.state.address)
    if name is not None:
        lock.name, lock.name_source = name, "symbol"
    elif lock.kind in ("crst", "pal"):
        name = lock_names.by_callers([w.thread.frames() for w in lock.waiters])
        if name is not None:
            lock.name, lock.name_source = name, "caller"
