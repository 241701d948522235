"""The report: what the JSON holds, as frozen dataclasses. Renderers read it, nothing here decides anything.

Addresses are strings, `0x` and lower-case hex; absent values are None; bucket numbers, tids and counts are ints.
The contract only grows: keys are added, never renamed or dropped (`schema_version` 1).
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Optional, Tuple, Type, TypeVar, Union

from dumpwalk.claims.model import Actor, Coverage, Evidence, Finding, Verdict
from dumpwalk.dataclass import dataclass
from dumpwalk.report import sections
from dumpwalk.report.sections.dispatch_cache.model import CacheAllocator, Cycle, DispatchCache, Node, Violation
from dumpwalk.report.sections.dump.model import Crash, Dump, EvidenceCore, Runtime, Tool
from dumpwalk.report.sections.locks.model import Lock, LockObject, LockOwner, Owner, Waiter
from dumpwalk.report.sections.modules.model import Module
from dumpwalk.report.sections.threads.model import Frame, Group, Managed, Thread, Wait
from dumpwalk.report.sections.wait_graph.model import GraphEdge, GraphNode, WaitGraph

__all__ = (
    "Actor", "CacheAllocator", "Coverage", "Crash", "Cycle", "DispatchCache", "Dump", "Entry", "Evidence", "EvidenceCore",
    "FailedCore", "Finding", "Frame", "GraphEdge", "GraphNode", "Group", "Lock", "LockObject", "LockOwner", "Managed",
    "Module", "Node", "Owner", "Report", "Runtime", "SCHEMA_VERSION", "Thread", "Tool", "Verdict", "Violation", "Wait",
    "Waiter", "WaitGraph",
)  # fmt: skip
"""Classes of the sections are imported from here too: it is what Python programs know."""

SCHEMA_VERSION = 1
Section = TypeVar("Section")


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


Entry = Union[Report, FailedCore]
"""A core's place among several: its report, or why there is none."""
