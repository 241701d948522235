"""What was observed, before anyone draws a conclusion: the input of every detector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from dumpwalk.claims.model import Coverage
from dumpwalk.claims.words import Extent, Grade
from dumpwalk.core.process import Process, Thread
from dumpwalk.core.thread_index import ThreadIndex
from dumpwalk.coreclr.dispatch.cache import Cache
from dumpwalk.coreclr.dispatch.locate import Location
from dumpwalk.coreclr.dispatch.stub_image_check import StubImageCheck
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.coreclr.layouts import Layout
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.managed_frames import ManagedFrames
from dumpwalk.coreclr.managed_threads import ManagedThreads
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.locks.graph import Graph, Node
from dumpwalk.locks.kind import Reading
from dumpwalk.locks.state import LockState, Owner
from dumpwalk.locks.waits import Wait


@dataclass(frozen=True)
class Holder:
    """One owner of a lock, and the thread that it is."""

    owner: Owner
    thread: Optional[Thread]
    gone: bool
    """No thread has that number, and the list of those who have one is as complete as the dump makes it."""


@dataclass
class LockFact:
    """One lock of the report and everyone around it."""

    state: LockState
    name: Optional[str]
    name_source: Optional[str]
    """symbol, member (of a known object), caller (the function above Enter), or None."""
    kind: str
    """crst, pthread, pal-critical-section."""
    holders: Tuple[Holder, ...] = ()
    waiters: List[Wait] = field(default_factory=list)
    note: Optional[str] = None

    @property
    def owner(self) -> Optional[Thread]:
        """The first owner that is a thread of this process."""
        return next((h.thread for h in self.holders if h.thread is not None), None)

    @property
    def label(self) -> str:
        return self.name or f"lock 0x{self.state.address:x}"

    @property
    def node(self) -> Node:
        return Node("lock", self.state.address)

    @property
    def owner_gone(self) -> bool:
        """It is held, and all whom it names are gone."""
        return bool(self.state.locked and self.holders and all(h.gone for h in self.holders))


@dataclass
class Unsettled:
    """Waits of one sort that nothing settles (unexplained.py). `reason` is owner-unknown, unexplained-wait or not-captured."""

    reason: str
    what: str
    """What they wait for, in words, with its address where they wait for one thing."""
    waits: List[Wait] = field(default_factory=list)
    lock: Optional[LockState] = None


@dataclass
class Suspension:
    """A suspension of all managed threads (garbage collection, debugger) that is under way."""

    suspender: Optional[Thread]
    how: str
    grade: Grade
    blocking: List[Thread] = field(default_factory=list)
    """Threads in cooperative mode that it has to wait for."""
    waiting: List[Thread] = field(default_factory=list)
    """Threads that wait for it to end."""
    suspender_address: Optional[int] = None


@dataclass
class Facts:
    process: Process
    runtime: Optional[RuntimeInfo]
    layouts: List[Layout]
    waits: List[Wait]
    location: Location
    cache: Optional[Cache]
    write_lock: Optional[LockFact]
    walkers: List[Walker]
    locks: List[LockFact]
    managed: Optional[ManagedThreads]
    suspension: Optional[Suspension]
    graph: Graph
    stub_image: Optional[StubImageCheck] = None
    """macOS x64 only: whether the chain look-up stub was linked in one piece."""
    threads: Optional[ThreadIndex] = None
    reading: Optional[Reading] = None
    """What the kinds of locks found; None when time ran out before."""
    view: Optional[ManagedView] = None
    """Managed code and objects by name; None without a runtime."""
    code: Optional[ManagedFrames] = None
    """What came of naming the managed frames; None without a runtime, or when time ran out before."""
    thread_names: Dict[int, str] = field(default_factory=dict)
    """Thread.Name by the address of the runtime's Thread."""
    unsettled: List[Unsettled] = field(default_factory=list)
    """Waits over which "nothing stuck" must not be said."""
    coverage: List[Coverage] = field(default_factory=list)
    stopped: Optional[str] = None
    """Why the analysis ended early, when it did."""
    limits_hit: List[str] = field(default_factory=list)
    """Sentences on bounds of limits.py that cut something short."""

    def wait_of(self, thread: Thread) -> Optional[Wait]:
        for wait in self.waits:
            if wait.thread is thread:
                return wait
        return None

    def lock_at(self, address: int) -> Optional[LockFact]:
        for lock in self.locks:
            if lock.state.address == address:
                return lock
        return None

    def cover(self, area: str, status: Extent, why: str) -> None:
        self.coverage.append(Coverage(area, status, why))


def thread_node(thread: Thread) -> Node:
    return Node("thread", thread.index)
