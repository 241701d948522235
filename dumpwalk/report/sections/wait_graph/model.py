"""What the JSON holds of the wait-for graph."""

from __future__ import annotations

from dataclasses import field
from typing import Optional, Tuple

from dumpwalk.claims.words import Address
from dumpwalk.core.grade import Grade
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.graph import EdgeKind, NodeKind


@dataclass(frozen=True)
class GraphNode:
    id: str
    kind: NodeKind
    """thread, lock, gc or chain."""
    label: str
    thread: Optional[int] = None
    lock: Optional[Address] = None


@dataclass(frozen=True)
class GraphEdge:
    source: str = field(metadata={"json": "from"})
    target: str = field(metadata={"json": "to"})
    grade: Grade = "unresolved"
    how: str = ""
    kind: EdgeKind = "waits"
    """waits (thread to lock), held-by (lock to thread), suspends (gc to thread), walks (thread to chain)."""


@dataclass(frozen=True)
class WaitGraph:
    nodes: Tuple[GraphNode, ...]
    edges: Tuple[GraphEdge, ...]
    cycles: Tuple[Tuple[str, ...], ...]
