"""Chains as plain 64-bit words, for what is done a million times: chains that are as they should be, and links.

A chain is clean when every element of it is captured, 8-aligned, hashes to the chain's bucket, no key stands twice, and it
ends at `empty`. That alone rules out loops (an element met again is a key met again) and elements shared with another
clean chain (one key has one bucket), so no record of the elements seen is kept. The audit of any other chain is
chain_walk.py's.
"""

from __future__ import annotations

import struct
import sys
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from dumpwalk import limits
from dumpwalk.core.memory import Memory
from dumpwalk.coreclr.dispatch.token_hash import hash_token
from dumpwalk.coreclr.layouts import NODE_BYTES

Run = Tuple[int, int, Union[memoryview, Tuple[int, ...]]]
"""(address of the first word, highest address of a whole element, words)."""

_ELEMENT = struct.Struct("<4Q")
_RUNS = 4096
"""Runs kept. A debugger's memory gives 16 KiB blocks, which are kept alive: 64 MiB."""
_HASHES = 100_000
_FIRST_LOOK = 256
"""Elements of a chain before it is first asked whether a key stands twice; a saturated cache has 250 in a chain."""
_LONGEST = 8192
"""A longer chain is left to the audit: it is most likely a loop, which would be followed for nothing."""


class Words:
    """The words around any element, without a call or a copy for those of one run."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._runs: Dict[int, Run] = {}

    def around(self, node: int) -> Optional[Run]:
        """A run that holds the whole element at `node`, 8-aligned; None where it is not captured."""
        extent = self._memory.extent(node)
        if extent is None:
            return None
        start, end, buffer, delta = extent
        run = self._runs.get(start)
        if run is None or run[1] + NODE_BYTES > end:
            if start & 7 or sys.byteorder != "little":
                return self._one(node)
            size = (end - start) & ~7
            if len(self._runs) >= _RUNS:
                self._runs.clear()
            words = memoryview(buffer)[start - delta : start - delta + size].cast("B").cast("Q")
            run = self._runs[start] = (start, start + size - NODE_BYTES, words)
        return run if node <= run[1] else self._one(node)

    def _one(self, node: int) -> Optional[Run]:
        """An element across two segments."""
        data = self._memory.read(node, NODE_BYTES)
        return (node, node, _ELEMENT.unpack(data)) if data is not None else None


class Clean(NamedTuple):
    """The chains before `bucket` are clean, the one of `bucket` is not (4096: all are)."""

    bucket: int
    used: int
    elements: int
    longest: int


def clean_chains(memory: Memory, slots: Sequence[int], sentinel: int) -> Clean:
    """How far the chains of `slots` are clean, and what they hold so far. About 0.4 microseconds an element."""
    around = Words(memory).around
    types: Dict[int, int] = {}
    tokens: Dict[int, int] = {}
    used = elements = longest = 0
    low = high = 0
    words: Union[memoryview, Tuple[int, ...]] = ()
    for bucket, node in enumerate(slots):
        if node == sentinel:
            continue
        keys: List[Tuple[int, int]] = []
        take = keys.append
        room = _FIRST_LOOK
        while node != sentinel:
            for _ in range(room):
                if node & 7 or not low <= node <= high:
                    run = around(node) if not node & 7 else None
                    if run is None:
                        return Clean(bucket, used, elements, longest)
                    low, high, words = run
                at = (node - low) >> 3
                mt = words[at]
                token = words[at + 1]
                try:
                    home = types[mt] ^ tokens[token]
                except KeyError:
                    if mt & 7:
                        return Clean(bucket, used, elements, longest)
                    home = _learn(types, tokens, mt, token)
                if home != bucket:
                    return Clean(bucket, used, elements, longest)
                take((mt, token))
                node = words[at + 3]
                if node == sentinel:
                    break
            room = len(keys)  # as many again before the next look: two looks an element at most
            if len(set(keys)) != room or room > _LONGEST or elements + room >= limits.CHAIN_NODES:
                return Clean(bucket, used, elements, longest)
        used += 1
        elements += len(keys)
        longest = max(longest, len(keys))
    return Clean(len(slots), used, elements, longest)


def _learn(types: Dict[int, int], tokens: Dict[int, int], mt: int, token: int) -> int:
    """The bucket of a key; both parts of its hash are kept (DispatchCache::HashMT and HashToken, token_hash.py)."""
    if len(types) > _HASHES:
        types.clear()
    if len(tokens) > _HASHES:
        tokens.clear()
    types[mt] = (((mt >> 12) + mt) >> 3) & 4095
    if token not in tokens:
        tokens[token] = hash_token(token)
    return types[mt] ^ tokens[token]


def elements_from(memory: Memory, node: int, count: int) -> Iterator[Tuple[int, int, int, int, int]]:
    """(address, pMT, token, target, pNext) of up to `count` elements; ends early where one is not captured."""
    around = Words(memory).around
    low = high = 0
    words: Union[memoryview, Tuple[int, ...]] = ()
    for _ in range(count):
        if node & 7 or not low <= node <= high:
            run = around(node) if not node & 7 else None
            if run is None:
                return
            low, high, words = run
        at = (node - low) >> 3
        following = words[at + 3]
        yield node, words[at], words[at + 1], words[at + 2], following
        node = following
