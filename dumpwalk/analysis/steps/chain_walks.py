"""Who walks a chain of the cache, who waits for its lock, and the names that this gives to functions without symbols.

Names by what code does are the third source, after symbols and metadata; a wait that is shown by such a name comes after it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, List, Optional, Sequence

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import CacheLook, ChainWalks, ManagedCode, NativeWaits
from dumpwalk.analysis.step import Step
from dumpwalk.core.process import Process
from dumpwalk.coreclr.dispatch import frame_names
from dumpwalk.coreclr.dispatch.stuck import Walker, find_walkers
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.locks.state import LockState
from dumpwalk.locks.waits import Wait


def _look(known: Gathered) -> ChainWalks:
    process, cache = known.process, known.of(CacheLook)
    waits: Sequence[Wait] = known.of(NativeWaits).waits
    walkers = find_walkers(process, waits, cache.cache.walk if cache.cache else None, cache.write_lock)
    info = known.of(RuntimeView).info
    if info is not None:
        waits = list(_by_word(waits, cache.write_lock))
        frame_names.infer(process, info, waits, walkers, cache.write_lock)
        waits = list(_by_frames(process, waits, walkers, cache.write_lock))
    return ChainWalks(tuple(walkers), tuple(waits))


def _by_word(waits: Sequence[Wait], lock: Optional[LockState]) -> Iterator[Wait]:
    """A system call that names a word inside m_writeLock waits for m_writeLock, whatever its bytes looked like alone."""
    for wait in waits:
        if lock is not None and wait.lock is not None and wait.lock.address == lock.address:
            yield replace(wait, lock=lock, is_crst=True)
        elif lock is not None and wait.lock is None and wait.word is not None and lock.holds(wait.word):
            how = f"its system call waits on 0x{wait.word:x}, inside m_writeLock"
            yield replace(wait, lock=lock, is_crst=True, kind="mutex", grade="proved", how=how)
        else:
            yield wait


def _by_frames(
    process: Process, waits: Sequence[Wait], walkers: Sequence[Walker], lock: Optional[LockState]
) -> Iterator[Wait]:
    """Threads stopped just around the system call: a lock function above which a frame holds m_writeLock in a register."""
    walking = {w.thread.index for w in walkers if w.stuck or w.owns_lock}
    for wait in waits:
        where = None
        if lock is not None and wait.lock is None and wait.thread.index not in walking:
            owns = lock.owner_tid is not None and process.thread_by_tid(lock.owner_tid) is wait.thread
            where = None if owns else frame_names.enters_lock(process, wait.thread, lock.address)
        if where is None:
            yield wait
        else:
            yield replace(wait, lock=lock, is_crst=True, kind="mutex", grade="corroborated", how=where)


def _without(known: Gathered) -> ChainWalks:
    nobody: List[Walker] = []
    return ChainWalks(tuple(nobody), known.of(NativeWaits).waits)


STEP = Step(
    name="chain walks",
    rank=55,
    gives=ChainWalks,
    needs=(RuntimeView, NativeWaits, CacheLook, ManagedCode),
    look=_look,
    instead=_without,
    areas=("locks",),
)
