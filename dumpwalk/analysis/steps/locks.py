"""The locks with their holders and waiters, as all kinds of locks together tell."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Type

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.locks import lock_facts
from dumpwalk.analysis.results import CacheLook, ChainWalks, LockLook, ManagedSurroundings, ThreadLook
from dumpwalk.analysis.step import Step
from dumpwalk.analysis.unexplained import sentence_of, unrecognised
from dumpwalk.claims.model import Coverage
from dumpwalk.core.names import plural, ranges
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.locks.kind import Scene, read_all


def known_to_kinds(known: Gathered) -> Dict[Type[Any], Callable[[], Any]]:
    """What a kind may ask its scene for: every result so far, and these by classes of their own."""
    runtime, threads, cache = known.of(RuntimeView), known.of(ThreadLook), known.of(CacheLook)
    around = known.of(ManagedSurroundings).around
    parts = [runtime.info, runtime.managed, threads.managed, cache.cache, around, *known.results.values()]
    return {type(part): (lambda it=part: it) for part in parts if part is not None}  # type: ignore[misc]


def _look(known: Gathered) -> LockLook:
    threads, cache, runtime = known.of(ThreadLook), known.of(CacheLook), known.of(RuntimeView)
    scene = Scene(known.process, threads.index, known.of(ChainWalks).waits, known_to_kinds(known))
    reading = read_all(scene)
    rows = lock_facts(
        known.process, threads.index, reading.waits, cache.write_lock, reading.found, threads.managed, runtime
    )
    return LockLook(reading.waits, tuple(rows), reading)


def _without(known: Gathered) -> LockLook:
    """The native locks, of the waits at hand: what no kind of lock was asked for is told by coverage."""
    threads, waits = known.of(ThreadLook), known.of(ChainWalks).waits
    cache, runtime = known.of(CacheLook), known.of(RuntimeView)
    rows = lock_facts(known.process, threads.index, waits, cache.write_lock, (), threads.managed, runtime)
    return LockLook(waits, tuple(rows), None)


def _covers(known: Gathered) -> Iterator[Coverage]:
    yield from _native(known)
    if known.runtime is not None:
        yield from _managed(known)


def _native(known: Gathered) -> Iterator[Coverage]:
    unknown = [w.thread.index for w in known.waits if w.call.inside is None]
    lacks = [sentence_of(group) for group in known.unsettled]
    if unknown:
        lacks.append(f"{plural(len(unknown), 'thread')} of which it cannot be told whether it waits or runs")
    if lacks:
        yield Coverage(
            "locks", "partial", "; ".join(lacks[:6]) + (f"; {len(lacks) - 6} more" if len(lacks) > 6 else "")
        )
        return
    waiting = sum(len(k.waiters) for k in known.locks)
    yield Coverage(
        "locks",
        "complete",
        f"{plural(len(known.locks), 'native lock')} in use or waited for, {plural(waiting, 'waiter')}",
    )


def _managed(known: Gathered) -> Iterator[Coverage]:
    reading = known.reading
    if reading is None or "managed-locks" not in reading.areas:
        yield Coverage("managed-locks", "none", "managed locks were not read: the runtime's threads are not known")
        return
    lacks = list(dict.fromkeys(why for area, why in reading.lacks if area == "managed-locks"))
    for lock in known.locks:
        if lock.waiters and lock.state.owners_unknown:
            lacks.append(f"{lock.label}: {lock.state.owners_unknown}")
    strange = unrecognised(known)
    if strange:
        many = plural(len(strange), "managed thread waits", "managed threads wait")
        lacks.append(f"{many} for something that was not recognised: {ranges(t.index for t in strange)}")
    rows = sum(1 for lock in known.locks if lock.state.managed)
    seen = f"{plural(rows, 'managed lock')} held or waited for"
    yield Coverage("managed-locks", "partial" if lacks else "complete", "; ".join([seen, *lacks]))


STEP = Step(
    name="locks",
    rank=90,
    gives=LockLook,
    needs=(RuntimeView, CacheLook, ThreadLook, ChainWalks, ManagedSurroundings),
    look=_look,
    instead=_without,
    covers=_covers,
    areas=("locks", "managed-locks"),
)
