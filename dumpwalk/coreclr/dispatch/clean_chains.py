"""Chains that are as they should be, found without an object for any of their elements.

A chain is clean when every element of it is captured, 8-aligned, hashes to the chain's bucket, no key stands twice, and it
ends at `empty`. That alone rules out loops (an element met again is a key met again) and elements shared with another
clean chain (one key has one bucket), so no record of the elements seen is kept. The audit of any other chain is
audit.py's.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory
from dumpwalk.coreclr.dispatch.element_pages import ELEMENT, Pages, elements_of
from dumpwalk.coreclr.dispatch.token_hash import BUCKETS, TokenHashes, bucket_of

_FIRST_LOOK = 256
"""Elements of a chain before it is first asked whether a key stands twice; a saturated cache has 250 in a chain."""
_LONGEST = 8192
"""A longer chain is left to the audit: it is most likely a loop, which would be followed for nothing."""


class Visited:
    """Which 8-aligned addresses were seen: a byte a slot in 64 KB pages, an eighth of the memory that nodes take."""

    def __init__(self) -> None:
        self.pages: Dict[int, bytearray] = {}

    def page(self, key: int) -> bytearray:
        page = self.pages.get(key)
        if page is None:
            page = self.pages[key] = bytearray(8192)
        return page

    def mark(self, node: int, seen: bool) -> None:
        self.page(node >> 16)[(node >> 3) & 8191] = seen

    def __contains__(self, node: int) -> bool:
        page = self.pages.get(node >> 16)
        return page is not None and bool(page[(node >> 3) & 8191])


class Clean(NamedTuple):
    """What the clean chains hold, and the buckets of all others."""

    used: int
    elements: int
    longest: int
    others: Tuple[int, ...]


NOTHING_CLEAN = Clean(0, 0, 0, tuple(range(BUCKETS)))


def take_clean(memory: Memory, slots: Sequence[int], sentinel: int, hashes: TokenHashes, visited: Visited) -> Clean:
    """The clean chains of `slots` that no other chain runs into. Their elements are marked as visited where other chains are
    left, whose walk then finds what it would have found after theirs. About 0.3 microseconds an element."""
    pages = Pages(memory)
    clean = _clean_chains(pages, slots, sentinel, hashes)
    if not clean.others:
        return clean
    left = set(clean.others)
    for bucket, head in enumerate(slots):
        if head != sentinel and bucket not in left:
            for node in _chain(pages, head, sentinel, clean.longest):
                visited.mark(node, True)
    lost = 0
    more = _run_into(pages, slots, sentinel, clean.others, visited)
    for bucket in more:
        for node in _chain(pages, slots[bucket], sentinel, clean.longest):
            visited.mark(node, False)
            lost += 1
    return Clean(clean.used - len(more), clean.elements - lost, clean.longest, tuple(sorted(left.union(more))))


def _chain(pages: Pages, head: int, sentinel: int, most: int) -> Iterator[int]:
    for node, _, _, _, following in elements_of(pages, head, most):
        yield node
        if following == sentinel:
            return


def _run_into(pages: Pages, slots: Sequence[int], sentinel: int, others: Sequence[int], visited: Visited) -> List[int]:
    """The clean chains that another chain leads into: an element of a clean one is in the bucket that its key hashes to."""
    found: Dict[int, None] = {}
    met: Set[int] = set()
    for bucket in others:
        for node, mt, token, _, following in elements_of(pages, slots[bucket], limits.CHAIN_NODES - len(met)):
            if node in visited:
                found[bucket_of(mt, token)] = None
                break
            if node in met:
                break
            met.add(node)
            if following == sentinel:
                break
    return list(found)


def _clean_chains(pages: Pages, slots: Sequence[int], sentinel: int, hashes: TokenHashes) -> Clean:
    """Which chains of `slots` are clean. About 0.2 microseconds an element."""
    others: List[int] = []
    used = elements = longest = 0
    for bucket, head in enumerate(slots):
        if head == sentinel:
            continue
        length = _clean_length(pages, hashes, bucket, head, sentinel) if elements < limits.CHAIN_NODES else 0
        if length == 0 or elements + length > limits.CHAIN_NODES:
            others.append(bucket)
            continue
        used += 1
        elements += length
        if length > longest:
            longest = length
    return Clean(used, elements, longest, tuple(others))


def _clean_length(pages: Pages, hashes: TokenHashes, bucket: int, head: int, sentinel: int) -> int:
    """Elements of a clean chain; 0 for one that is not. The bucket of a key is HashMT ^ HashToken (token_hash.py)."""
    unpack = ELEMENT.unpack_from
    content = pages.content
    tables: List[int] = []
    take = tables.append
    node, bits, room = head, 0, _FIRST_LOOK
    try:
        while node != sentinel:
            for _ in range(room):
                mt, token, _, following = unpack(content, pages[node >> 12] + (node & 4088))
                if ((((mt >> 12) + mt) >> 3) & 4095) ^ hashes[token] != bucket:
                    return 0
                bits |= node | mt
                take(mt)
                node = following
                if node == sentinel:
                    break
            room = len(tables)  # as many again before the next look: two looks an element at most
            if bits & 7 or room > _LONGEST:
                return 0
            if len(set(tables)) != room and not _keys_differ(pages, head, room):
                return 0
    except KeyError:
        return 0
    return len(tables)


def _keys_differ(pages: Pages, head: int, count: int) -> bool:
    """Whether no key stands twice among the first elements of a chain: where a type does, that is called through two interfaces of
    which both lead here. A pair for each element takes as long as all the rest, so that they are compared by their types first."""
    return len({(mt, token) for _, mt, token, _, _ in elements_of(pages, head, count)}) == count
