"""What was observed, before anyone draws a conclusion: the input of every detector. Made once, of the steps' results."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Type, TypeVar

from dumpwalk.analysis.other_runtimes import OtherLook, OtherRuntime
from dumpwalk.analysis.results import (
    CacheLook,
    ChainWalks,
    LockLook,
    ManagedCode,
    ManagedSurroundings,
    StubImage,
    SuspensionLook,
    ThreadLook,
    ThreadNames,
    UnsettledWaits,
)
from dumpwalk.analysis.results import Holder as Holder
from dumpwalk.analysis.results import LockFact as LockFact
from dumpwalk.analysis.results import Suspension as Suspension
from dumpwalk.analysis.results import Unsettled as Unsettled
from dumpwalk.analysis.results import thread_node as thread_node
from dumpwalk.claims.model import Coverage
from dumpwalk.core.process import Process, Thread
from dumpwalk.core.thread_index import ThreadIndex
from dumpwalk.coreclr.dispatch.cache import Cache
from dumpwalk.coreclr.dispatch.locate import Location
from dumpwalk.coreclr.dispatch.stub_image_check import StubImageCheck
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.coreclr.layouts import Layout
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.managed_frames import ManagedFrames
from dumpwalk.coreclr.managed_threads import ManagedThreads
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.coreclr.traces import Traces
from dumpwalk.locks.graph import Graph
from dumpwalk.locks.kind import Reading
from dumpwalk.locks.waits import Wait

Result = TypeVar("Result")
Row = TypeVar("Row")


class Answers:
    """The results by their class, and the most wanted ones by name."""

    process: Process
    results: Mapping[Type[Any], Any]

    def of(self, what: Type[Result]) -> Result:
        """The result of the step that gives this class. Raises KeyError where that step comes later."""
        found: Result = self.results[what]
        return found

    @property
    def runtime(self) -> Optional[RuntimeInfo]:
        return self.of(RuntimeView).info

    @property
    def traces(self) -> Optional[Traces]:
        """Where no image showed a runtime: what a search of memory for one gave."""
        return self.of(RuntimeView).traces

    @property
    def layouts(self) -> Sequence[Layout]:
        return self.of(RuntimeView).layouts

    @property
    def view(self) -> Optional[ManagedView]:
        """Managed code and objects by name; None without a runtime."""
        return self.of(RuntimeView).managed

    @property
    def code(self) -> Optional[ManagedFrames]:
        return self.of(ManagedCode).frames

    @property
    def waits(self) -> Sequence[Wait]:
        return self.of(LockLook).waits

    @property
    def location(self) -> Location:
        return self.of(CacheLook).location

    @property
    def cache(self) -> Optional[Cache]:
        return self.of(CacheLook).cache

    @property
    def walkers(self) -> Sequence[Walker]:
        return self.of(ChainWalks).walkers

    @property
    def locks(self) -> Sequence[LockFact]:
        return self.of(LockLook).locks

    @property
    def reading(self) -> Optional[Reading]:
        """What the kinds of locks found; None when time ran out before."""
        return self.of(LockLook).reading

    @property
    def write_lock(self) -> Optional[LockFact]:
        """The row of the cache's own lock."""
        lock = self.of(CacheLook).write_lock
        return self.lock_at(lock.address) if lock is not None else None

    @property
    def managed(self) -> Optional[ManagedThreads]:
        return self.of(ThreadLook).managed

    @property
    def threads(self) -> ThreadIndex:
        return self.of(ThreadLook).index

    @property
    def thread_names(self) -> Dict[int, str]:
        """Thread.Name by the address of the runtime's Thread."""
        return self.of(ThreadNames).by_address

    @property
    def around(self) -> Optional[Surroundings]:
        """Managed frames, types and stack words; None where the runtime's threads were not read."""
        return self.of(ManagedSurroundings).around

    @property
    def suspension(self) -> Optional[Suspension]:
        return self.of(SuspensionLook).suspension

    @property
    def other(self) -> Optional[OtherRuntime]:
        """Another language's runtime, or .NET without CoreCLR; None where there is CoreCLR, or neither."""
        return self.of(OtherLook).runtime

    @property
    def unsettled(self) -> Sequence[Unsettled]:
        """Waits over which "nothing stuck" must not be said."""
        return self.of(UnsettledWaits).groups

    @property
    def graph(self) -> Graph:
        return self.of(Graph)

    @property
    def stub_image(self) -> Optional[StubImageCheck]:
        return self.of(StubImage).check

    def wait_of(self, thread: Thread) -> Optional[Wait]:
        return self._index("waits", self.waits, lambda wait: id(wait.thread)).get(id(thread))

    def lock_at(self, address: int) -> Optional[LockFact]:
        return self._index("locks", self.locks, lambda lock: lock.state.address).get(address)

    def _index(self, name: str, rows: Sequence[Row], key: Callable[[Row], int]) -> Dict[int, Row]:
        """The first row of each key; made anew when a later step has put other rows."""
        made: Dict[str, Tuple[Sequence[Row], Dict[int, Row]]] = self.__dict__.setdefault("_indexes", {})
        known = made.get(name)
        if known is None or known[0] is not rows:
            index: Dict[int, Row] = {}
            for row in rows:
                index.setdefault(key(row), row)
            known = made[name] = (rows, index)
        return known[1]


class Gathered(Answers):
    """The results so far, while the steps run. `ways` are those by which the dispatch cache may be looked for, `wants` what the
    user asks for beside what the process asks for."""

    def __init__(self, process: Process, ways: Tuple[str, ...], wants: Tuple[str, ...] = ()) -> None:
        self.process = process
        self.ways = ways
        self.wants = wants
        self.results: Dict[Type[Any], Any] = {}

    def put(self, what: Type[Any], result: Any) -> None:
        """A result is put once and stays as it is."""
        assert what not in self.results, f"two steps give {what.__name__}"
        self.results[what] = result


class Facts(Answers):
    """All results, with how far they reach."""

    def __init__(
        self, known: Answers, coverage: Sequence[Coverage], stopped: Optional[str], limits_hit: Tuple[str, ...]
    ) -> None:
        self.process = known.process
        self.results = known.results
        self.coverage = tuple(coverage)
        self.stopped = stopped
        """Why the analysis ended early, when it did."""
        self.limits_hit = limits_hit
        """Sentences on bounds of limits.py that cut something short."""

    def having(self, what: Type[Result], result: Result) -> Facts:
        """The same facts with one more result, of what was looked at after the steps."""
        found = Facts(self, self.coverage, self.stopped, self.limits_hit)
        found.results = {**self.results, what: result}
        return found

    def covering(self, more: Sequence[Coverage]) -> Facts:
        """The same facts with entries for what was done with them."""
        return Facts(self, (*self.coverage, *more), self.stopped, self.limits_hit) if more else self
