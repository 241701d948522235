"""What the steps give: frozen, each class the answer of one step (analysis/steps). A new step keeps its own beside it."""

from __future__ import annotations

from typing import Dict, Literal, Optional, Tuple

from dumpwalk.core.grade import Grade
from dumpwalk.core.names import quoted
from dumpwalk.core.process import Thread
from dumpwalk.core.thread_index import ThreadIndex
from dumpwalk.coreclr.dispatch.cache import Cache
from dumpwalk.coreclr.dispatch.locate import Location
from dumpwalk.coreclr.dispatch.stub_image_check import StubImageCheck
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.managed_frames import ManagedFrames
from dumpwalk.coreclr.managed_threads import ManagedThreads
from dumpwalk.coreclr.threadpool.pool import Pool
from dumpwalk.coreclr.threadpool.release import Held
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.graph import Node
from dumpwalk.locks.kind import Reading
from dumpwalk.locks.state import LockState, Named, Owner, Sort
from dumpwalk.locks.waits import Wait


@dataclass(frozen=True)
class Holder:
    """One owner of a lock, and the thread that it is."""

    owner: Owner
    thread: Optional[Thread]
    gone: bool
    """No thread has that number, and the list of those who have one is as complete as the dump makes it."""


@dataclass(frozen=True)
class LockFact:
    """One lock of the report and everyone around it."""

    state: LockState
    name: Optional[str]
    name_source: Optional[Named]
    kind: Sort
    holders: Tuple[Holder, ...] = ()
    waiters: Tuple[Wait, ...] = ()
    note: Optional[str] = None

    @property
    def owner(self) -> Optional[Thread]:
        """The first owner that is a thread of this process."""
        return next((h.thread for h in self.holders if h.thread is not None), None)

    @property
    def label(self) -> str:
        """`Bank.Journal at 0x7f...`, `the initialiser of Bank.Rates`, a native lock's name or address."""
        if self.name is not None or not self.state.managed:
            return quoted(self.name) if self.name else f"lock 0x{self.state.address:x}"
        address = self.state.object_address or self.state.address
        if self.kind == "class-init":
            return f"the initialiser of {self.state.object_type or f'the class at 0x{address:x}'}"
        what = quoted(self.state.object_type) if self.state.object_type else f"a {self.kind}"
        return f"{what} at 0x{address:x}"

    @property
    def node(self) -> Node:
        return Node("lock", self.state.address)

    @property
    def owner_gone(self) -> bool:
        """It is held, and all whom it names are gone."""
        return bool(self.state.locked and self.holders and all(h.gone for h in self.holders))


Reason = Literal["owner-unknown", "unexplained-wait", "not-captured", "other-runtime"]


@dataclass(frozen=True)
class Unsettled:
    """Waits of one sort that nothing settles (unexplained.py)."""

    reason: Reason
    what: str
    """What they wait for, in words, with its address where they wait for one thing."""
    waits: Tuple[Wait, ...] = ()
    lock: Optional[LockState] = None


@dataclass(frozen=True)
class Suspension:
    """A suspension of all managed threads (garbage collection, debugger) that is under way."""

    suspender: Optional[Thread]
    how: str
    grade: Grade
    blocking: Tuple[Thread, ...] = ()
    """Threads in cooperative mode that it has to wait for."""
    waiting: Tuple[Thread, ...] = ()
    """Threads that wait for it to end."""


@dataclass(frozen=True)
class Stacks:
    complete: bool
    """False when time ran out: some threads then have the frame of their pc alone."""


@dataclass(frozen=True)
class ManagedCode:
    frames: Optional[ManagedFrames]
    """What came of naming them; None without a runtime, or when time ran out before."""


@dataclass(frozen=True)
class ManagedSurroundings:
    around: Optional[Surroundings]
    """What readers of managed locks ask; None where the runtime's threads were not read."""


@dataclass(frozen=True)
class NativeWaits:
    waits: Tuple[Wait, ...]
    """One for each thread, also for those that wait for nothing; empty when time ran out."""


@dataclass(frozen=True)
class CacheLook:
    location: Location
    cache: Optional[Cache]
    write_lock: Optional[LockState]
    """m_writeLock as memory has it; None where there is no cache or its lock could not be read."""


@dataclass(frozen=True)
class ThreadLook:
    managed: Optional[ManagedThreads]
    index: ThreadIndex


@dataclass(frozen=True)
class ThreadNames:
    by_address: Dict[int, str]
    """By the address of the runtime's Thread."""


@dataclass(frozen=True)
class ChainWalks:
    walkers: Tuple[Walker, ...]
    waits: Tuple[Wait, ...]
    """The native waits, with those for m_writeLock that only the cache, or a frame, could tell."""


@dataclass(frozen=True)
class LockLook:
    waits: Tuple[Wait, ...]
    """Each with the layers that the kinds laid over it."""
    locks: Tuple[LockFact, ...]
    reading: Optional[Reading]
    """What the kinds found; None when time ran out before."""


@dataclass(frozen=True)
class PoolLook:
    pool: Optional[Pool]
    """None where there is none, or it could not be read: `why` tells."""
    held: Tuple[Held, ...] = ()
    """Workers that cannot go on before something queued is run."""
    through: Tuple[Held, ...] = ()
    """Threads outside of the pool that have locks for which such workers wait, and are held themselves."""
    followed: bool = True
    """Every queued work item was followed that had to be."""
    why: str = ""
    absent: bool = False
    """Memory shows that the process has none."""

    @property
    def starved(self) -> bool:
        """Every thread that the pool has is a worker seen here, and none goes on before a queued work item is run."""
        pool = self.pool
        return (
            pool is not None
            and pool.counts.existing > 0
            and pool.counts.working == pool.counts.existing == len(pool.workers) == len(self.held)
            and any(held.item is not None for held in (*self.held, *self.through))
        )

    @property
    def starving(self) -> Tuple[Thread, ...]:
        """The threads of a starved pool, and those outside of it on which these wait."""
        return tuple(held.worker.thread for held in (*self.held, *self.through)) if self.starved else ()


@dataclass(frozen=True)
class StubImage:
    check: Optional[StubImageCheck]


@dataclass(frozen=True)
class SuspensionLook:
    suspension: Optional[Suspension]


@dataclass(frozen=True)
class UnsettledWaits:
    groups: Tuple[Unsettled, ...]
    """Waits over which "nothing stuck" must not be said."""


def thread_node(thread: Thread) -> Node:
    return Node("thread", thread.index)
