"""What the JSON holds of the dispatch cache."""

from __future__ import annotations

from typing import Literal, Optional, Tuple

from dumpwalk.claims.words import Address
from dumpwalk.core.grade import Extent
from dumpwalk.coreclr.dispatch.vocabulary import AllocatorState, DamageKind
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Node:
    address: Address
    mt: Address
    token: Address
    target: Address
    next: Address
    allocator: Optional[Address] = None
    """Of the loader allocator whose memory it is; None where no stub manager's heap has it."""
    mt_type: Optional[str] = None
    target_method: Optional[str] = None


@dataclass(frozen=True)
class CacheAllocator:
    """One loader allocator of the process that has a stub manager, and with it memory for elements of the cache."""

    address: Optional[Address]
    manager: Address
    collectible: Optional[bool]
    state: Optional[AllocatorState]
    """alive, unloading or dead."""
    references: Optional[int]
    """None for the global allocator, which is not counted, and where it was not read."""
    number: Optional[int]
    """Of its creation: what is missing between two numbers was made and taken down."""


@dataclass(frozen=True)
class Cycle:
    bucket: int
    length: int
    entry: Address
    tail: Tuple[Address, ...]
    """Addresses of the nodes before the loop, head first."""
    nodes: Tuple[Node, ...]
    head: Optional[Address] = None
    tail_nodes: Tuple[Node, ...] = ()


@dataclass(frozen=True)
class Violation:
    kind: DamageKind
    bucket: Optional[int]
    home: Optional[int]
    address: Optional[Address]
    detail: str


@dataclass(frozen=True)
class DispatchCache:
    address: Address
    table: Address
    sentinel: Optional[Address]
    lock: Optional[Address]
    located_by: Tuple[str, ...]
    buckets: int
    """Buckets in use."""
    elements: int
    walked: Literal[Extent, "not-in-dump"]
    """complete, partial or not-in-dump."""
    cycles: Tuple[Cycle, ...]
    violations: Tuple[Violation, ...]
    violation_count: int = 0
    layout: Optional[str] = None
    allocators: Tuple[CacheAllocator, ...] = ()
    """The loader allocators whose memory its elements can be."""
