"""A bucket's chain as shapes: its elements in a row, the way back below them, who stands where above them."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence, Set, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.html.scale import CHARACTER, scale
from dumpwalk.report.model import Cycle, WaitGraph
from dumpwalk.report.names import count, plural

HEIGHT, GAP, MARGIN = 44, 34, 12
MOST = 4
"""Elements of the part before the loop, or of the loop, that are all drawn; of more only the ends and where somebody stands."""
CURSORS = 4
_ADDRESS = re.compile(r"\b0x[0-9a-f]{4,16}\b")


@dataclass(frozen=True)
class Element:
    position: int
    """1-based place in the chain; 0 where it stands for several that are not drawn."""
    text: str
    x: float
    width: float
    loop: bool
    here: str
    """Whose cursor stands on it, in words."""


@dataclass(frozen=True)
class ChainFigure:
    bucket: int
    head: str
    head_width: float
    elements: Tuple[Element, ...]
    width: int
    height: int
    scale: float
    top: float
    """y of the boxes."""
    back: str
    """The path from the last element back to the entry."""
    back_x: float
    back_y: float
    back_label: str
    loop_x: float
    loop_width: float
    loop_label: str
    words: str
    """The whole drawing in a sentence or two."""


def cursors(cycle: Cycle, graph: WaitGraph) -> Dict[str, List[str]]:
    """Node address -> threads whose cursor stands there; key "" for those that walk the chain, nobody knows where."""
    nodes = {node.address for node in cycle.nodes} | set(cycle.tail)
    labels = {node.id: node.label for node in graph.nodes}
    found: Dict[str, List[str]] = {}
    for edge in graph.edges:
        if edge.kind == "walks" and bucket_of(edge.target) == cycle.bucket:
            at = next((address for address in _ADDRESS.findall(edge.how) if address in nodes), "")
            found.setdefault(at, []).append(labels.get(edge.source, edge.source))
    return found


def bucket_of(node: str) -> Optional[int]:
    """The bucket of a chain's node of the wait-for graph, by its id: `chain-1793`."""
    kind, _, number = node.partition("-")
    return int(number) if kind == "chain" and number.isdigit() else None


def figure(cycle: Cycle, graph: WaitGraph) -> ChainFigure:
    standing = cursors(cycle, graph)
    entry = len(cycle.tail) + 1
    last = len(cycle.tail) + cycle.length
    tail = [(i, address) for i, address in enumerate(cycle.tail, 1)]
    loop = [(i, node.address) for i, node in enumerate(cycle.nodes, entry)]
    rows = [(*row, False) for row in _elided(tail, 1, len(tail), standing)]
    rows += [(*row, True) for row in _elided(loop, 2, cycle.length, standing)]
    head = f"bucket {cycle.bucket}"
    head_width = CHARACTER * len(head) + 20
    x = MARGIN + head_width + GAP
    elements: List[Element] = []
    for position, text, inside in rows:
        width = CHARACTER * max(len(text), 10) + 20
        here = _here(standing.get(text, [])) if position else ""
        elements.append(Element(position, text, round(x, 1), round(width, 1), inside, here))
        x += width + GAP
    top = 58.0 if any(element.here for element in elements) else 34.0
    looped = [element for element in elements if element.loop]
    first, final = looped[0], looped[-1]
    low = top + HEIGHT
    start = first.x + first.width * 0.3
    right = final.x + final.width + 16
    back = (
        f"M{final.x + final.width:.1f} {top + HEIGHT / 2:.1f}H{right - 8:.1f}Q{right:.1f} {top + HEIGHT / 2:.1f} "
        f"{right:.1f} {top + HEIGHT / 2 + 8:.1f}V{low + 16:.1f}Q{right:.1f} {low + 24:.1f} {right - 8:.1f} {low + 24:.1f}"
        f"H{start + 8:.1f}Q{start:.1f} {low + 24:.1f} {start:.1f} {low + 16:.1f}V{low + 6:.1f}"
    )
    last_text = f"pNext of [{last}] is [{entry}]"
    wide = int(max(right + 14, start + CHARACTER * len(last_text) + 30))
    return ChainFigure(
        cycle.bucket, head, round(head_width, 1), tuple(elements), wide, int(low + 52), scale(wide), top, back,
        round(start, 1), low + 42, last_text, round(first.x - 9, 1), round(final.x + final.width - first.x + 18, 1),
        f"loop of {count(cycle.length)}", _words(cycle, standing),
    )  # fmt: skip


def _elided(
    rows: Sequence[Tuple[int, str]], first: int, total: int, keep: Dict[str, List[str]]
) -> List[Tuple[int, str]]:
    """The first rows, the last and those to keep; a row (0, "12 more") for each gap. `total` counts unlisted ones too."""
    shown: Set[int] = set(range(len(rows)))
    if len(rows) > MOST:
        kept = [i for i, row in enumerate(rows) if row[1] in keep]
        shown = {*range(first), len(rows) - 1, *kept[:CURSORS]}
    out: List[Tuple[int, str]] = []
    left = 0
    for place, row in enumerate(rows):
        if place in shown:
            if left:
                out.append((0, f"{count(left)} more"))
            out.append(row)
            left = 0
        else:
            left += 1
    left += total - len(rows)
    if left:
        out.append((0, f"{count(left)} more"))
    return out


def _here(threads: Sequence[str]) -> str:
    if len(threads) > 1:
        return f"{count(len(threads))} threads stand here"
    return f"{threads[0]} stands here" if threads else ""


def _words(cycle: Cycle, standing: Dict[str, List[str]]) -> str:
    entry = len(cycle.tail) + 1
    before = f"{plural(len(cycle.tail), 'element')} before it, then " if cycle.tail else ""
    at = {node.address: place for place, node in enumerate(cycle.nodes, entry)}
    at.update({address: place for place, address in enumerate(cycle.tail, 1)})
    text = f"Bucket {cycle.bucket}: {before}a loop of {count(cycle.length)}, entered at [{entry}] {cycle.entry}"
    text += f"; [{entry + cycle.length - 1}] points back to [{entry}]."
    for address, threads in standing.items():
        who = f"cursors of {', '.join(threads)} stand" if len(threads) > 1 else f"cursor of {threads[0]} stands"
        text += f" The {who} {f'on [{at[address]}] {address}' if address else 'somewhere in it'}."
    return text
