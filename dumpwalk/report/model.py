"""The report: what the JSON holds, as frozen dataclasses. Renderers read it, nothing here decides anything.

Addresses are strings, `0x` and lower-case hex; absent values are None; bucket numbers, tids and counts are ints.
The contract only grows: keys are added, never renamed or dropped (`schema_version` 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional, Tuple, Type, TypeVar

from dumpwalk.claims.model import Actor as Actor
from dumpwalk.claims.model import Coverage as Coverage
from dumpwalk.claims.model import Evidence as Evidence
from dumpwalk.claims.model import Finding as Finding
from dumpwalk.claims.model import Verdict as Verdict
from dumpwalk.report import sections

SCHEMA_VERSION = 1
Section = TypeVar("Section")


@dataclass(frozen=True)
class Tool:
    name: str
    version: str
    lldb: Optional[str] = None
    """Version of the lldb that gave the stacks; None when the report was made without one."""


@dataclass(frozen=True)
class Crash:
    tid: Optional[int]
    thread: Optional[int]
    signal: Optional[int]
    signal_name: Optional[str]
    detail: str


@dataclass(frozen=True)
class Dump:
    path: str
    sha256: Optional[str]
    size_bytes: Optional[int]
    format: str
    arch: str
    os: str
    pid: Optional[int]
    producer: str
    kind: str
    truncated: bool
    process_name: Optional[str] = None
    crash: Optional[Crash] = None
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Runtime:
    name: str
    version: Optional[str]
    module: Optional[str]
    build_id: Optional[str]
    base: Optional[str]
    located_by: str
    flavour: Optional[str] = None
    """shared (libcoreclr beside the app) or single-file."""
    layout: Optional[str] = None
    """Name of the layout row in use and how it was confirmed, or `unknown layout`."""
    version_source: Optional[str] = None
    facts: Tuple[str, ...] = ()
    """Observations about the image itself, such as whether its assembly stubs are where an intact link puts them."""


@dataclass(frozen=True)
class Module:
    path: str
    build_id: Optional[str]
    base: Optional[str]
    file: Optional[str]
    match: str
    """matched, mismatched, missing or unverified."""
    fetch: Optional[str] = None
    """For a missing or mismatched one: the command that fetches it from a symbol server."""


@dataclass(frozen=True)
class Frame:
    pc: str
    module: Optional[str]
    function: Optional[str]
    offset: Optional[int]
    name_source: str
    """symbol, metadata (a managed method), inferred or none."""
    trust: str
    """context (the thread's own registers), cfi (unwind data), unwind-info (the runtime's, of managed code), fp
    (frame-pointer chain), frame-chain (the runtime's own notes), scan (stack scan)."""
    kind: str = "native"
    """native, managed or stub (code that the runtime made between the two)."""
    source: Optional[str] = None
    """`path/file.cpp:123`, where debug data tells."""
    unwinder: Optional[str] = None
    """lldb or dumpwalk: who found the frame."""


@dataclass(frozen=True)
class Wait:
    kind: str
    """mutex, condition, futex, timed-wait, sleep, poll, read, syscall: what the thread's system call is for."""
    address: Optional[str]
    """The word or object it waits on."""
    lock: Optional[str]
    """locks[].address, when the wait is for a lock."""


@dataclass(frozen=True)
class Managed:
    """The runtime's own record of a thread."""

    id: Optional[int]
    address: str
    mode: Optional[str]
    """cooperative or preemptive."""
    state: Optional[str]
    """The state word, hex."""
    flags: Tuple[str, ...]
    role: Optional[str]
    """finalizer, gc (the suspending thread), or None."""
    how: str
    name: Optional[str] = None
    """Thread.Name."""


@dataclass(frozen=True)
class Thread:
    index: int
    tid: Optional[int]
    tid_source: str
    name: Optional[str]
    state: str
    """running, waiting or unknown."""
    wait: Optional[Wait]
    group: Optional[int]
    frames: Tuple[Frame, ...]
    managed: Optional[Managed] = None
    role: Optional[str] = None
    """What it is for, where its frames or the runtime tell: idle service threads are no evidence of a hang."""
    note: Optional[str] = None


@dataclass(frozen=True)
class Group:
    id: int
    count: int
    threads: Tuple[int, ...]
    frames: Tuple[Frame, ...]
    state: str
    title: str
    """One line: what these threads do."""


@dataclass(frozen=True)
class Owner:
    tid: Optional[int]
    thread: Optional[int]
    grade: str


@dataclass(frozen=True)
class LockOwner:
    """One of those who hold a lock."""

    tid: Optional[int]
    thread: Optional[int]
    managed_id: Optional[int]
    holding: str
    """exclusive, shared, upgradeable, initialising."""
    gone: bool
    """It is no thread of the process any more."""
    grade: str
    word: Optional[str]
    """The word of memory that names it: `_owningThreadId at 0x... = 1361`."""


@dataclass(frozen=True)
class LockObject:
    address: str
    type: Optional[str]


@dataclass(frozen=True)
class Waiter:
    thread: int
    grade: str
    how: Optional[str] = None


@dataclass(frozen=True)
class Lock:
    address: str
    name: Optional[str]
    kind: str
    implementation: str
    locked: Optional[bool]
    owner: Optional[Owner]
    waiters: Tuple[Waiter, ...]
    recursion: Optional[int]
    name_source: Optional[str] = None
    words: Tuple[str, ...] = ()
    """What its memory says, a phrase each: `__owner at 0x... = 13786`."""
    note: Optional[str] = None
    object: Optional[LockObject] = None
    """The managed object that is locked; for a class initialiser the type that it prepares."""
    owners: Tuple[LockOwner, ...] = ()
    """All who hold it, as far as memory names them; `owner` is the first of them."""
    owners_unknown: Optional[str] = None
    starving_since_ms: Optional[int] = None
    crst_type: Optional[str] = None
    """Of a lock of the runtime: its type in the documented order, by its name."""
    level: Optional[int] = None
    """That type's level; -1 for one that is in no order."""


@dataclass(frozen=True)
class Node:
    address: str
    mt: str
    token: str
    target: str
    next: str


@dataclass(frozen=True)
class Cycle:
    bucket: int
    length: int
    entry: str
    tail: Tuple[str, ...]
    """Addresses of the nodes before the loop, head first."""
    nodes: Tuple[Node, ...]
    head: Optional[str] = None
    tail_nodes: Tuple[Node, ...] = ()


@dataclass(frozen=True)
class Violation:
    kind: str
    bucket: Optional[int]
    home: Optional[int]
    address: Optional[str]
    detail: str


@dataclass(frozen=True)
class DispatchCache:
    address: str
    table: str
    sentinel: Optional[str]
    lock: Optional[str]
    located_by: Tuple[str, ...]
    buckets: int
    """Buckets in use."""
    elements: int
    walked: str
    """complete, partial or not-in-dump."""
    cycles: Tuple[Cycle, ...]
    violations: Tuple[Violation, ...]
    violation_count: int = 0
    layout: Optional[str] = None


@dataclass(frozen=True)
class GraphNode:
    id: str
    kind: str
    """thread, lock, gc or chain."""
    label: str
    thread: Optional[int] = None
    lock: Optional[str] = None


@dataclass(frozen=True)
class GraphEdge:
    source: str = field(metadata={"json": "from"})
    target: str = field(metadata={"json": "to"})
    grade: str = "unresolved"
    how: str = ""
    kind: str = "waits"
    """waits (thread to lock), held-by (lock to thread), suspends (gc to thread), walks (thread to chain)."""


@dataclass(frozen=True)
class WaitGraph:
    nodes: Tuple[GraphNode, ...]
    edges: Tuple[GraphEdge, ...]
    cycles: Tuple[Tuple[str, ...], ...]


@dataclass(frozen=True)
class Report:
    schema_version: int
    tool: Tool
    verdict: Verdict
    dump: Dump
    runtime: Optional[Runtime]
    modules: Tuple[Module, ...]
    threads: Tuple[Thread, ...]
    groups: Tuple[Group, ...]
    locks: Tuple[Lock, ...]
    dispatch_cache: Optional[DispatchCache]
    wait_graph: WaitGraph
    findings: Tuple[Finding, ...]
    coverage: Tuple[Coverage, ...]
    redacted: bool = False
    sections: Tuple[object, ...] = field(default=(), metadata={"json": None})
    """Values of the sections that bring a class of their own, one of each at most; in the JSON each stands under its own key."""

    def of(self, section: Type[Section]) -> Optional[Section]:
        """The section of that class: `report.of(ThreadPool)`. None where the report has none."""
        return next((part for part in self.sections if part.__class__ is section), None)  # type: ignore[return-value]

    if not TYPE_CHECKING:

        def __getattr__(self, key: str) -> object:
            """A section by its JSON key: `report.thread_pool`."""
            kind = None if key.startswith("_") or key == "sections" else sections.models().get(key)
            if kind is None:
                raise AttributeError(f"a report has no {key!r}")
            return self.of(kind)


@dataclass(frozen=True)
class FailedCore:
    """A core of several that could not be analysed: its entry in the JSON array."""

    path: str
    error: str
    exit_code: int
    error_kind: str = "error"
