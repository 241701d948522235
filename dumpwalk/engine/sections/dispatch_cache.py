"""The dispatch cache, its circular chains and broken rules as the report has them."""

from __future__ import annotations

from typing import Optional

from dumpwalk.analysis.facts import Facts
from dumpwalk.core.names import hexadecimal
from dumpwalk.coreclr.dispatch.allocators import PERMANENT
from dumpwalk.coreclr.dispatch.audit import ChainCycle, Element
from dumpwalk.coreclr.dispatch.managers import Manager
from dumpwalk.detectors import ownership
from dumpwalk.report import model

_NODES_NAMED = 16
"""Elements of one chain whose type and method are named."""


def _node(facts: Facts, element: Element, place: int) -> model.Node:
    owner = ownership.owners(facts).managers.owner_of(element.address)
    allocator = owner[0].allocator if owner is not None else None
    mt_type, method = ownership.names_of(facts, element) if place < _NODES_NAMED else (None, None)
    return model.Node(
        address=f"0x{element.address:x}",
        mt=f"0x{element.mt:x}",
        token=f"0x{element.token:x}",
        target=f"0x{element.target:x}",
        next=f"0x{element.next:x}",
        allocator=hexadecimal(allocator.address) if allocator is not None else None,
        mt_type=mt_type,
        target_method=method,
    )


def _allocator(manager: Manager) -> model.CacheAllocator:
    mine = manager.allocator
    if mine is None:
        return model.CacheAllocator(None, f"0x{manager.address:x}", None, None, None, None)
    counted = mine.references if mine.references != PERMANENT else None
    return model.CacheAllocator(
        f"0x{mine.address:x}", f"0x{manager.address:x}", mine.collectible, mine.state, counted, mine.number
    )


def _cycle(facts: Facts, cycle: ChainCycle) -> model.Cycle:
    return model.Cycle(
        bucket=cycle.bucket,
        length=cycle.length,
        entry=f"0x{cycle.entry:x}",
        tail=tuple(f"0x{address:x}" for address in cycle.before),
        nodes=tuple(_node(facts, e, i) for i, e in enumerate(cycle.nodes)),
        head=f"0x{cycle.head:x}",
        tail_nodes=tuple(_node(facts, e, i) for i, e in enumerate(cycle.tail)),
    )


def cache_of(facts: Facts) -> Optional[model.DispatchCache]:
    cache = facts.cache
    if cache is None:
        return None
    shape, walk = cache.shape, cache.walk
    return model.DispatchCache(
        address=f"0x{shape.address:x}",
        table=f"0x{shape.table:x}",
        sentinel=hexadecimal(shape.sentinel),
        lock=f"0x{shape.lock:x}",
        located_by=tuple(cache.located_by),
        buckets=walk.used_buckets,
        elements=walk.elements,
        walked=walk.walked,
        cycles=tuple(_cycle(facts, c) for c in walk.cycles),
        violations=tuple(
            model.Violation(d.kind, d.bucket, d.home, hexadecimal(d.address), d.detail) for d in walk.damage
        ),
        violation_count=walk.damage_count,
        layout=shape.layout_name(facts.runtime.major if facts.runtime else None),
        allocators=tuple(_allocator(m) for m in ownership.owners(facts).managers.found),
    )
