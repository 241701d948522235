"""The locks with their holders and waiters, as all kinds of locks together tell."""

from __future__ import annotations

from typing import Any, Callable, Dict, Type

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.locks import lock_facts
from dumpwalk.analysis.results import CacheLook, ChainWalks, LockLook, ManagedSurroundings, ThreadLook
from dumpwalk.analysis.step import Step
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.locks.kind import Scene, read_all


def known_to_kinds(known: Gathered) -> Dict[Type[Any], Callable[[], Any]]:
    """What a kind may ask its scene for: every result so far, and these by classes of their own."""
    runtime, threads, cache = known.of(RuntimeView), known.of(ThreadLook), known.of(CacheLook)
    around = known.of(ManagedSurroundings).around
    parts = [runtime.info, runtime.managed, threads.managed, cache.cache, around, *known.results.values()]
    return {type(part): (lambda it=part: it) for part in parts if part is not None}  # type: ignore[misc]


def _look(known: Gathered) -> LockLook:
    threads, cache = known.of(ThreadLook), known.of(CacheLook)
    scene = Scene(known.process, threads.index, known.of(ChainWalks).waits, known_to_kinds(known))
    reading = read_all(scene)
    rows = lock_facts(known.process, threads.index, reading.waits, cache.write_lock, reading.found, threads.managed)
    return LockLook(reading.waits, tuple(rows), reading)


def _without(known: Gathered) -> LockLook:
    """The native locks, of the waits at hand: what no kind of lock was asked for is told by coverage."""
    threads, waits = known.of(ThreadLook), known.of(ChainWalks).waits
    rows = lock_facts(known.process, threads.index, waits, known.of(CacheLook).write_lock, (), threads.managed)
    return LockLook(waits, tuple(rows), None)


STEP = Step(
    name="locks",
    rank=90,
    gives=LockLook,
    needs=(RuntimeView, CacheLook, ThreadLook, ChainWalks, ManagedSurroundings),
    look=_look,
    instead=_without,
    areas=("locks", "managed-locks"),
)
