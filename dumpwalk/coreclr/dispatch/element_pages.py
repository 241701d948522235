"""The elements of chains as plain 64-bit words, from pages that are read whole, once each.

The cache's elements have a heap of their own (VirtualCallStubManager::cache_entry_heap, vm/virtualcallstub.h), so that a page
of it holds 128 of them, while chains lead from page to page at random.
"""

from __future__ import annotations

import struct
from typing import Dict, Iterator, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory
from dumpwalk.coreclr.layouts import NODE_BYTES

ELEMENT = struct.Struct("<4Q")
"""pMT, token, target, pNext."""
_PAGE = 4096
_OVER = NODE_BYTES - 8
"""Bytes of an element that begins with the last word of a page."""
_INSIDE = _PAGE - NODE_BYTES
"""The last place in a page at which an element ends inside it."""


class Pages(Dict[int, int]):
    """Number of a page to the place of its bytes in `content`; one that is not captured raises KeyError.

    An element that begins in a page and ends in one that is not captured reads as zeros from there on.
    """

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory
        self.content = bytearray()

    def __missing__(self, page: int) -> int:
        address = page * _PAGE
        data = self.memory.read(address, _PAGE + _OVER) or self.memory.read(address, _PAGE)
        if data is None:
            raise KeyError(page)
        if len(self) >= limits.CACHE_PAGES:
            self.clear()
            self.content.clear()
        place = self[page] = len(self.content)
        self.content += data.ljust(_PAGE + _OVER, b"\0")
        return place


def elements_from(memory: Memory, node: int, count: int) -> Iterator[Tuple[int, int, int, int, int]]:
    """(address, pMT, token, target, pNext) of up to `count` elements; ends early where one is not captured."""
    return elements_of(Pages(memory), node, count)


def elements_of(pages: Pages, node: int, count: int) -> Iterator[Tuple[int, int, int, int, int]]:
    """The same, of pages that are kept for other chains."""
    unpack = ELEMENT.unpack_from
    content = pages.content
    for _ in range(count):
        if node & 7:
            return
        inside = node & 4095
        try:
            if inside > _INSIDE:
                raise KeyError(node)
            mt, token, target, following = unpack(content, pages[node >> 12] + inside)
        except KeyError:  # across two pages, or in one that is captured in part
            data = pages.memory.read(node, NODE_BYTES)
            if data is None:
                return
            mt, token, target, following = ELEMENT.unpack(data)
        yield node, mt, token, target, following
        node = following
