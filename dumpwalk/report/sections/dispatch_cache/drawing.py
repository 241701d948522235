"""A bucket's chain drawn with its loop: in one line where it fits, else one element a line and the way back at left."""

from __future__ import annotations

from typing import List, Optional, Tuple

from dumpwalk.report.model import Cycle
from dumpwalk.report.names import count, plural

Row = Tuple[Optional[int], str]
"""(1-based position in the chain, address), or (None, how many are left out)."""


def _elided(first: int, addresses: List[str], most: int) -> List[Row]:
    """At most `most` of them, both ends kept, with a count for the rest."""
    rows: List[Row] = [(first + i, address) for i, address in enumerate(addresses)]
    if len(rows) <= most:
        return rows
    head = (most + 1) // 2
    tail = most - head
    left = len(rows) - head - tail
    return [*rows[:head], (None, f"... {count(left)} more"), *(rows[-tail:] if tail else [])]


def one_line(cycle: Cycle, width: int, indent: str = "  ") -> List[str]:
    """Two lines: the chain, and the way back below it. Empty where it does not fit."""
    addresses = [*cycle.tail, *(node.address for node in cycle.nodes)]
    if len(cycle.nodes) != cycle.length or not addresses:
        return []
    label = f"{indent}bucket {cycle.bucket}    "
    chain, entry_at = label, 0
    for position, address in enumerate(addresses, 1):
        if position > 1:
            chain += " --> "
        if position == len(cycle.tail) + 1:
            entry_at = len(chain) + 4
        chain += f"[{position}] {address}"
    chain += " --+"
    if len(chain) > width:
        return []
    return [chain, " " * entry_at + "^" + "-" * (len(chain) - entry_at - 2) + "+"]


def upright(cycle: Cycle, most_nodes: int, most_tail: int, indent: str = "  ") -> List[str]:
    """One element a line; the loop is boxed at its left."""
    entry = len(cycle.tail) + 1
    tail = f"{plural(len(cycle.tail), 'element')}, then " if cycle.tail else ""
    lines = [f"{indent}bucket {cycle.bucket}    {tail}a loop of {count(cycle.length)}, entered at [{entry}]"]
    for position, text in _elided(1, list(cycle.tail), most_tail):
        lines.append(f"{indent}      " + (f"[{position}] {text}" if position else text))
    addresses = [node.address for node in cycle.nodes]
    rows = _elided(entry, addresses, most_nodes)
    if len(addresses) < cycle.length and all(position for position, _ in rows):
        rows.append((None, f"... {count(cycle.length - len(addresses))} more, not listed"))
    for number, (position, text) in enumerate(rows):
        edge = ".-> " if number == 0 else "|   "
        lines.append(f"{indent}  {edge}" + (f"[{position}] {text}" if position else text))
    lines.append(f"{indent}  '---- back to [{entry}]")
    return lines


def drawing(cycle: Cycle, width: int, most_nodes: int = 6, most_tail: int = 4) -> List[str]:
    return one_line(cycle, width) or upright(cycle, most_nodes, most_tail)
