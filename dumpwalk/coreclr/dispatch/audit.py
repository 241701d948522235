"""Walks and audits all chains of a DispatchCache, in one pass over plain words.

Mirrors `ResolveCacheElem` and `DispatchCache::cache` (src/coreclr/vm/virtualcallstub.h). The legal shape, which the audit
holds memory against: every slot is `empty` or an 8-aligned element; each chain ends at `empty`; no element stands twice;
each element hashes to its bucket; no key stands twice in a chain; `empty` is {-1, 0, 0, 0}.

The walk never raises on bad data and never loops: a node is visited once, and every chain has a termination record.
Typed nodes are made only for what a report shows.
"""

from __future__ import annotations

import struct
from dataclasses import field
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.grade import Extent
from dumpwalk.core.memory import Memory
from dumpwalk.coreclr.dispatch.clean_chains import NOTHING_CLEAN, Visited, take_clean
from dumpwalk.coreclr.dispatch.element_pages import elements_from
from dumpwalk.coreclr.dispatch.token_hash import BUCKETS, TokenHashes, bucket_of
from dumpwalk.coreclr.dispatch.vocabulary import DamageKind, End
from dumpwalk.coreclr.layouts import NODE_BYTES, NODE_NEXT
from dumpwalk.dataclass import dataclass

_NODE = struct.Struct("<4Q")
SENTINEL_MT = 0xFFFFFFFFFFFFFFFF


class Element(NamedTuple):
    """One ResolveCacheElem."""

    address: int
    mt: int
    token: int
    target: int
    next: int


@dataclass(frozen=True)
class Termination:
    kind: End
    at: int
    """The pointer that ended it: the first repeated node, the bad pointer, or the sentinel."""
    length: int
    """Nodes walked before it ended."""


@dataclass(frozen=True)
class ChainCycle:
    bucket: int
    head: int
    entry: int
    nodes: Tuple[Element, ...]
    """The first limits.CYCLE_NODES of the loop, from the entry; `loop_elements` gives all of them."""
    tail: Tuple[Element, ...]
    """The same number at most of what precedes it; `before` has all of it."""
    before: Tuple[int, ...]
    """Addresses of the elements before the loop, from the head."""
    length: int
    last: Element
    """The node whose pNext leads back to the entry."""


@dataclass(frozen=True)
class Damage:
    """A broken invariant; `bucket` is the chain in which it was met, `home` the bucket its key hashes to."""

    kind: DamageKind
    bucket: Optional[int]
    home: Optional[int]
    address: Optional[int]
    detail: str


@dataclass
class CacheWalk:
    """Everything that one pass found."""

    elements: int = 0
    used_buckets: int = 0
    longest: int = 0
    ends: Dict[int, Termination] = field(default_factory=dict)
    """Chains that did not end at the sentinel, by bucket."""
    cycles: List[ChainCycle] = field(default_factory=list)
    damage: List[Damage] = field(default_factory=list)
    damage_count: int = 0
    unknown_buckets: int = 0
    """Chains that left the captured memory."""
    limited: bool = False
    misplaced: int = 0
    search_steps: int = 0
    """Nodes read once more to name the chain that a shared node belongs to."""
    links: int = 0
    """Words at +0x18 that led to a node of the same bucket or to the sentinel: they confirm where pNext is."""

    _loops: Dict[int, Dict[int, int]] = field(default_factory=dict, repr=False, compare=False)

    def loop_of(self, memory: Memory, cycle: ChainCycle) -> Dict[int, int]:
        """Every element of a loop and its place in it, counted from the entry; made once for each loop."""
        key = min(e.address for e in cycle.nodes)
        known = self._loops.get(key)
        if known is None or cycle.entry not in known:
            known = {e[0]: at for at, e in enumerate(loop_elements(memory, cycle))}
            self._loops[key] = known
        return known

    @property
    def walked(self) -> Extent:
        return "partial" if self.unknown_buckets or self.limited else "complete"


def read_element(memory: Memory, address: int) -> Optional[Element]:
    data = memory.read(address, NODE_BYTES)
    return Element(address, *_NODE.unpack(data)) if data else None


Expected = Callable[[int], bool]
"""Would the dump hold this address if the process had it? If so, a pointer to it is damage; if not, nothing is known."""


def walk_cache(
    memory: Memory, slots: Sequence[int], sentinel: Optional[int], expected: Expected = lambda address: True
) -> CacheWalk:
    """Walk every chain of `slots` (4096 heads). `sentinel` is the value of `empty`; None when it is not captured."""
    result = CacheWalk()
    visited = Visited()
    token_hashes = TokenHashes()
    clean = take_clean(memory, slots, sentinel, token_hashes, visited) if sentinel else NOTHING_CLEAN
    result.used_buckets, result.elements, result.longest = clean.used, clean.elements, clean.longest
    result.links = clean.elements
    for bucket in clean.others:
        head = slots[bucket]
        if head == sentinel:
            continue
        result.used_buckets += 1
        if result.elements >= limits.CHAIN_NODES:
            result.limited = True
            result.ends[bucket] = Termination("limit", head, 0)
            continue
        end = _walk_bucket(memory, bucket, head, sentinel, visited, token_hashes, result)
        if end.length > result.longest:
            result.longest = end.length
        if end.kind != "sentinel":
            result.ends[bucket] = end
            _record_end(memory, slots, bucket, head, end, result, expected)
    if sentinel is not None:
        _audit_sentinel(memory, sentinel, result)
    return result


def _walk_bucket(
    memory: Memory,
    bucket: int,
    head: int,
    sentinel: Optional[int],
    visited: Visited,
    token_hashes: TokenHashes,
    result: CacheWalk,
) -> Termination:
    # A microsecond a node: no object is made for one that is as it should be.
    unpack = _NODE.unpack_from
    pages = visited.pages
    keys = set()
    node = head
    count = 0
    room = limits.CHAIN_NODES - result.elements
    low = high = delta = 0
    buffer: object = b""
    kind: End = "sentinel"
    while node != sentinel:
        if node & 7 or not node:
            kind = "null" if not node else "misaligned"
            break
        page = pages.get(node >> 16)
        if page is None:
            page = visited.page(node >> 16)
        slot = (node >> 3) & 8191
        if page[slot]:
            kind = "seen"
            break
        if not low <= node <= high:
            extent = memory.extent(node)
            if extent is None:
                kind = "missing"
                break
            low, end, buffer, delta = extent
            high = end - NODE_BYTES
        if node <= high:
            mt, token, _, following = unpack(buffer, node - delta)  # type: ignore[arg-type]
        else:
            element = read_element(memory, node)  # a node across two segments
            low = high = 0
            if element is None:
                kind = "missing"
                break
            mt, token, following = element.mt, element.token, element.next
        if count >= room:
            kind = "limit"
            result.limited = True
            break
        page[slot] = 1
        count += 1
        home = ((((mt >> 12) + mt) >> 3) & 4095) ^ token_hashes[token]
        if home != bucket:
            result.misplaced += 1
            detail = f"the key hashes to bucket {home}, the element stands in bucket {bucket}"
            record_damage(result, "wrong-bucket", bucket, home, node, detail)
        if mt & 7:
            record_damage(result, "misaligned-mt", bucket, home, node, f"pMT 0x{mt:x} is not 8-aligned")
        key = (mt, token)
        if key in keys:
            record_damage(
                result, "duplicate-key", bucket, home, node, "another element of this chain has the same pMT and token"
            )
        keys.add(key)
        node = following
    result.elements += count
    result.links += count if kind == "sentinel" else max(0, count - 1)
    return Termination(kind, node, count)


def record_damage(
    result: CacheWalk, kind: DamageKind, bucket: Optional[int], home: Optional[int], address: Optional[int], detail: str
) -> None:
    """Count a broken rule, and keep it while there is room."""
    result.damage_count += 1
    if len(result.damage) < limits.VIOLATIONS:
        result.damage.append(Damage(kind, bucket, home, address, detail))


def _record_end(
    memory: Memory,
    slots: Sequence[int],
    bucket: int,
    head: int,
    end: Termination,
    result: CacheWalk,
    expected: Expected,
) -> None:
    """Say what the odd end of a chain is: a cycle, another bucket's chain, a bad pointer, memory that is not there."""
    if end.kind == "seen":
        order = _addresses(memory, head, end.length)
        if end.at in order:
            at = order.index(end.at)
            tail, loop = order[:at], order[at:]
            result.ends[bucket] = Termination("cycle", end.at, end.length)
            result.cycles.append(
                ChainCycle(
                    bucket,
                    head,
                    end.at,
                    _typed(memory, loop),
                    _typed(memory, tail),
                    tuple(tail),
                    length=len(loop),
                    last=_typed(memory, loop[-1:])[0],
                )
            )
            return
        other = _chain_holding(memory, slots, bucket, end.at, result)
        shared = _leads_into_a_loop(memory, bucket, head, order, end.at, result)
        if shared is not None:
            result.cycles.append(shared)
        result.ends[bucket] = Termination("shared", end.at, end.length)
        element = read_element(memory, end.at)
        home = bucket_of(element.mt, element.token) if element else None
        where = f"also in the chain of bucket {other}" if other is not None else "also in another chain"
        record_damage(result, "shared-node", bucket, home, end.at, where)
        if home is not None and home != bucket:
            detail = f"the key hashes to bucket {home}, the chain of bucket {bucket} runs into it"
            record_damage(result, "wrong-bucket", bucket, home, end.at, detail)
    elif end.kind == "null":
        record_damage(
            result,
            "null-end",
            bucket,
            None,
            head if end.length == 0 else None,
            "the chain ends in NULL, not at `empty`",
        )
    elif end.kind == "misaligned":
        record_damage(
            result, "misaligned", bucket, None, end.at, f"the chain leads to 0x{end.at:x}, which is not 8-aligned"
        )
    elif end.kind == "missing":
        result.unknown_buckets += 1
        damaged = expected(end.at)
        result.ends[bucket] = Termination("unreadable" if damaged else "not-captured", end.at, end.length)
        if damaged:
            detail = f"the chain leads to 0x{end.at:x}, where the process has no such memory"
            record_damage(result, "unreadable", bucket, None, end.at, detail)


def loop_elements(memory: Memory, cycle: ChainCycle) -> Iterator[Tuple[int, int, int, int, int]]:
    """(address, pMT, token, target, pNext) of every element of the loop, also where the report lists the first ones only."""
    return elements_from(memory, cycle.entry, cycle.length)


def _addresses(memory: Memory, head: int, count: int) -> List[int]:
    return [parts[0] for parts in elements_from(memory, head, count)]


def _typed(memory: Memory, addresses: Sequence[int]) -> Tuple[Element, ...]:
    elements = (read_element(memory, a) for a in addresses[: limits.CYCLE_NODES])
    return tuple(e for e in elements if e is not None)


def _leads_into_a_loop(
    memory: Memory, bucket: int, head: int, order: List[int], at: int, result: CacheWalk
) -> Optional[ChainCycle]:
    """The same loop as this bucket's chain reaches it, where the chain that it runs into is circular: with its own head, its
    own elements before the loop, and the element of the loop where it enters."""
    if len(result.cycles) >= limits.CYCLES_SHARING:
        return None
    for known in result.cycles:
        loop = result.loop_of(memory, known)
        place = loop.get(at)
        if place is None and at not in known.before:
            continue
        before = list(order)
        if place is None:
            before += known.before[known.before.index(at) :]
            place = loop[known.entry]
        ring = list(loop)
        turned = ring[place:] + ring[:place]
        return ChainCycle(
            bucket,
            head,
            turned[0],
            _typed(memory, turned),
            _typed(memory, before),
            tuple(before),
            length=len(turned),
            last=_typed(memory, turned[-1:])[0],
        )
    return None


def _chain_holding(memory: Memory, slots: Sequence[int], before: int, wanted: int, result: CacheWalk) -> Optional[int]:
    """The earlier bucket whose chain holds `wanted`. All calls of one walk together read limits.CHAIN_NODES nodes."""
    for bucket in range(before):
        node = slots[bucket]
        mark, power, steps = node, 1, 0
        while result.search_steps < limits.CHAIN_NODES:
            if node == wanted:
                return bucket
            result.search_steps += 1
            element = read_element(memory, node)
            if element is None or element.next == mark:
                break
            node = element.next
            steps += 1
            if steps == power:  # Brent: the mark moves to each power of two, so that a cyclic chain ends
                mark, power = node, power * 2
    return None


def _audit_sentinel(memory: Memory, sentinel: int, result: CacheWalk) -> None:
    element = read_element(memory, sentinel)
    if element is None:
        return
    if (element.mt, element.token, element.target, element.next) != (SENTINEL_MT, 0, 0, 0):
        words = f"{{0x{element.mt:x}, 0x{element.token:x}, 0x{element.target:x}, 0x{element.next:x}}}"
        detail = f"`empty` holds {words} instead of {{-1, 0, 0, 0}}"
        record_damage(result, "damaged-sentinel", None, None, sentinel, detail)


__all__ = [
    "BUCKETS",
    "NODE_NEXT",
    "CacheWalk",
    "ChainCycle",
    "Damage",
    "Element",
    "Termination",
    "loop_elements",
    "read_element",
    "walk_cache",
]
