"""The start of a jitted method by the heap's nibble map: one nibble for each 32 bytes of code, none or one method start.

Sources: src/coreclr/vm/nibblemapmacros.h and codeman.cpp (EEJitManager::JitCodeToMethodInfo) up to 9: searched backwards;
10 (PR 108939, docs/design/datacontracts/ExecutionManager.md version 2): a word whose low nibble is above 8 is a pointer
for code that no start lies in.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk.coreclr.words import NotRead, Words

_START, _END, _BASE, _MAP = 0x10, 0x18, 0x20, 0x28
_NODES = 4096
_METHOD_BYTES = 256 << 20
"""Code searched backwards for a method's start."""
_BUCKET, _WORD_NIBBLES = 32, 8


def method_start(words: Words, heap_list: int, address: int, linear: bool) -> Optional[int]:
    """Where the method around `address` begins, from the heap's list node on; None when none does.

    `linear`: the map of 3.1 to 9. Eight bytes before the start is the pointer to the code header.
    """
    node = _node_of(words, heap_list, address)
    if node is None:
        return None
    base, table = words.u64(node + _BASE, "the code heap"), words.u64(node + _MAP, "the code heap")
    delta = address - base
    if delta < 0:
        return None
    position, low = delta // _BUCKET, (delta % _BUCKET >> 2) + 1
    return (_linear if linear else _pointers)(words, base, table, position, low)


def _node_of(words: Words, node: int, address: int) -> Optional[int]:
    """The heap whose code holds the address; the section's own mostly."""
    for _ in range(_NODES):
        if words.u64(node + _START, "the code heap") <= address < words.u64(node + _END, "the code heap"):
            return node
        node = words.u64(node, "the code heap")
        if not node:
            return None
    raise NotRead(f"the list of code heaps around 0x{address:x} does not end")


def _nibble(word: int, index: int) -> int:
    """The most significant nibble is the first."""
    return word >> (4 * (_WORD_NIBBLES - 1 - index)) & 0xF


def _word(words: Words, table: int, index: int) -> int:
    return words.u32(table + 4 * index, "the nibble map")


def _in_word(word: int, index: int, low: int, base: int, first: int) -> Optional[int]:
    """The last start at or before nibble `index` of a word whose first nibble has position `first`."""
    own = _nibble(word, index)
    if own and own <= low:
        return base + (first + index) * _BUCKET + (own - 1) * 4
    for at in range(index - 1, -1, -1):
        before = _nibble(word, at)
        if before:
            return base + (first + at) * _BUCKET + (before - 1) * 4
    return None


def _linear(words: Words, base: int, table: int, position: int, low: int) -> Optional[int]:
    index, nibble = divmod(position, _WORD_NIBBLES)
    found = _in_word(_word(words, table, index), nibble, low, base, index * _WORD_NIBBLES)
    if found is not None:
        return found
    most = _METHOD_BYTES // (_BUCKET * _WORD_NIBBLES)
    while index > 0 and most > 0:
        size = min(index, 256, most)
        data = words.take(table + 4 * (index - size), 4 * size, "the nibble map")
        for at in range(size - 1, -1, -1):
            (word,) = struct.unpack_from("<I", data, 4 * at)
            if word:
                first = (index - size + at) * _WORD_NIBBLES
                return _in_word(word, _WORD_NIBBLES - 1, 0xF, base, first)
        index, most = index - size, most - size
    return None


def _pointer_of(word: int) -> Optional[int]:
    """The offset of the method's start that a pointer word holds."""
    low = word & 0xF
    return (word & ~0xF) + (low - 9) * 4 if low > 8 else None


def _pointers(words: Words, base: int, table: int, position: int, low: int) -> Optional[int]:
    index, nibble = divmod(position, _WORD_NIBBLES)
    word = _word(words, table, index)
    pointer = _pointer_of(word)
    if pointer is not None:
        return base + pointer
    found = _in_word(word, nibble, low, base, index * _WORD_NIBBLES)
    if found is not None or index == 0:
        return found
    word = _word(words, table, index - 1)
    pointer = _pointer_of(word)
    if pointer is not None:
        return base + pointer
    return _in_word(word, _WORD_NIBBLES - 1, 0xF, base, (index - 1) * _WORD_NIBBLES)
