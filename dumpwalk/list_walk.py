"""`dumpwalk walk`: any singly linked list in a core, from an address, with a termination record. Needs no lldb."""

from __future__ import annotations

import json
from dataclasses import field
from typing import List, Optional, Tuple

from dumpwalk.core.memory import Memory, read_words
from dumpwalk.core.names import plural
from dumpwalk.dataclass import dataclass

_SHOWN = 64
EXIT_CODES = {
    "null": 0,
    "sentinel": 0,
    "cycle": 11,
    "misaligned": 11,
    "unreadable": 11,
    "not-captured": 12,
    "limit": 12,
}


@dataclass
class ListWalk:
    """A walked list. `end` is null, sentinel, cycle, misaligned, unreadable (no memory of the process as far as the core
    tells), not-captured (the process had it, the dump does not) or limit."""

    start: int
    next_offset: int
    length: int
    end: str
    at: int
    """The pointer that ended it; for a cycle its first node."""
    tail: Optional[int] = None
    """Nodes before the cycle."""
    cycle_length: Optional[int] = None
    nodes: List[Tuple[int, Tuple[int, ...]]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.end]


def walk_memory(
    memory: Memory,
    start: int,
    next_offset: int,
    sentinel: Optional[int] = None,
    words: int = 4,
    limit: int = 1_000_000,
    recorded: Optional[List[Tuple[int, int]]] = None,
) -> ListWalk:
    """Walk `start`, then the pointer at `next_offset` of each node. Never raises on bad data, never loops."""
    seen: dict[int, int] = {}
    node, end = start, "limit"
    while len(seen) < limit:
        if node == sentinel:
            end = "sentinel"
        elif node == 0:
            end = "null"
        elif node in seen:
            end = "cycle"
        elif node & 7:
            end = "misaligned"
        else:
            following = read_words(memory, node + next_offset, 1)
            if following is None:
                known = any(a <= node < b for a, b in recorded or ())
                end = "not-captured" if known else "unreadable"
                break
            seen[node] = len(seen)
            node = following[0]
            continue
        break
    result = ListWalk(start, next_offset, len(seen), end, node)
    if end == "cycle":
        result.tail = seen[node]
        result.cycle_length = len(seen) - seen[node]
    shown = list(seen)
    if len(shown) > _SHOWN:
        shown = shown[: _SHOWN // 2] + shown[-_SHOWN // 2 :]
    for address in shown:
        values = read_words(memory, address, words) or read_words(memory, address, 1) or ()
        result.nodes.append((address, values))
    return result


def render(walk: ListWalk, kind: str) -> str:
    return _json(walk) if kind == "json" else _text(walk)


def _json(walk: ListWalk) -> str:
    return json.dumps(
        {
            "start": f"0x{walk.start:x}",
            "next_offset": walk.next_offset,
            "length": walk.length,
            "end": walk.end,
            "at": f"0x{walk.at:x}",
            "tail": walk.tail,
            "cycle_length": walk.cycle_length,
            "nodes": [{"address": f"0x{a:x}", "words": [f"0x{w:x}" for w in ws]} for a, ws in walk.nodes],
            "exit_code": walk.exit_code,
        },
        indent=2,
    )


def _text(walk: ListWalk) -> str:
    lines = []
    elided = walk.length - len(walk.nodes)
    for position, (address, words) in enumerate(walk.nodes):
        if elided and position == len(walk.nodes) // 2:
            lines.append(f"  ... {plural(elided, 'node')} ...")
        number = position + 1 if not elided or position < len(walk.nodes) // 2 else position + 1 + elided
        lines.append(f"  [{number}] 0x{address:x}  " + " ".join(f"0x{w:016x}" for w in words))
    how = {
        "null": "It ends at NULL.",
        "sentinel": f"It ends at the sentinel 0x{walk.at:x}.",
        "cycle": f"It is cyclic: after {plural(walk.tail or 0, 'node')} comes a loop of {walk.cycle_length}, "
        f"entered at 0x{walk.at:x}.",
        "misaligned": f"It leads to 0x{walk.at:x}, which is not 8-aligned.",
        "unreadable": f"It leads to 0x{walk.at:x}, which is no memory of the process as far as the core tells.",
        "not-captured": f"It leads to 0x{walk.at:x}, which the process had and the dump does not hold.",
        "limit": f"The limit was hit after {plural(walk.length, 'node')}; how it ends is not known.",
    }[walk.end]
    count = f"{plural(walk.length, 'node')} from 0x{walk.start:x}, next pointer at +0x{walk.next_offset:x}."
    return "\n".join([*lines, count, how])
