"""Where the nodes of a wait-for graph stand: columns from who waits (left) to what everything hangs on (right).

networkx finds the components, the circles and the order of the columns (condensation, topological generations). Its own
layout functions need numpy, which an lldb's Python often lacks, so the rows are given here: a circle of waits is laid
as a ring of two rows, everything else stands level with what it waits for.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

import networkx as nx

from dumpwalk.dataclass import dataclass

Edge = Tuple[str, str]


@dataclass(frozen=True)
class Place:
    column: int
    row: float


@dataclass(frozen=True)
class _Block:
    """Nodes that move together: one node, or a circle of waits."""

    cells: Tuple[Tuple[str, int, int], ...]
    """(node, column, row) inside the block."""

    @property
    def columns(self) -> int:
        return 1 + max(column for _, column, _ in self.cells)

    @property
    def rows(self) -> int:
        return 1 + max(row for _, _, row in self.cells)


def layout(nodes: Sequence[str], edges: Sequence[Edge]) -> Dict[str, Place]:
    """A place for each node that is given; components below each other, in the order of their first nodes."""
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edge for edge in edges if edge[0] in graph and edge[1] in graph)
    order = {node: number for number, node in enumerate(nodes)}
    components = sorted(nx.weakly_connected_components(graph), key=lambda part: min(order[node] for node in part))
    places: Dict[str, Place] = {}
    top = 0.0
    for members in components:
        part = _component(graph.subgraph(sorted(members, key=order.__getitem__)), order)
        first = min(place.row for place in part.values())
        for node, place in part.items():
            places[node] = Place(place.column, place.row - first + top)
        top = 1 + max(places[node].row for node in part)
    return places


def _component(graph: nx.DiGraph, order: Dict[str, int]) -> Dict[str, Place]:
    condensed = nx.condensation(graph)
    ranks: List[List[int]] = [sorted(rank) for rank in nx.topological_generations(condensed.reverse(copy=False))]
    blocks = {number: _block(graph, condensed.nodes[number]["members"], order) for number in condensed}
    widths = [max(blocks[number].columns for number in rank) for rank in ranks]
    places: Dict[str, Place] = {}
    for rank, numbers in enumerate(ranks):
        left = sum(widths[rank + 1 :])
        wanted = {number: _level(graph, blocks[number], places) for number in numbers}
        ordered = sorted(numbers, key=lambda n: (wanted[n], min(order[cell[0]] for cell in blocks[n].cells)))
        tops: List[float] = []
        free = float("-inf")
        for number in ordered:
            row = max(free, wanted[number] - (blocks[number].rows - 1) / 2)
            tops.append(row)
            free = row + blocks[number].rows
        # Placed from above, a crowd hangs too low: lift it so that its middle is where it wanted to be.
        drift = sum(
            row + (blocks[n].rows - 1) / 2 - wanted[n] for row, n in zip(tops, ordered)
        ) / len(ordered)  # fmt: skip
        for row, number in zip(tops, ordered):
            for node, column, inner in blocks[number].cells:
                places[node] = Place(left + column, row - drift + inner)
    return places


def _level(graph: nx.DiGraph, block: _Block, places: Dict[str, Place]) -> float:
    """The mean row of what the block's nodes wait for; 0 for what waits for nothing outside."""
    rows = [places[to].row for node, _, _ in block.cells for to in graph.successors(node) if to in places]
    return sum(rows) / len(rows) if rows else 0.0


def _block(graph: nx.DiGraph, members: Sequence[str], order: Dict[str, int]) -> _Block:
    inside = graph.subgraph(members)
    count = len(inside)
    ring = count > 2 and all(inside.out_degree(node) == 1 and inside.in_degree(node) == 1 for node in inside)
    if not ring:
        start = min(members, key=order.__getitem__)
        line = [start, *(node for _, node in nx.bfs_edges(inside, start))]
        return _Block(tuple((node, column, 0) for column, node in enumerate(line)))
    # The node that most others wait for from outside stands at the left, where they come from.
    waited_for = max(inside, key=lambda node: (graph.in_degree(node), -order[node]))
    circle = [waited_for]
    while len(circle) < count:
        circle.append(next(iter(inside.successors(circle[-1]))))
    circle = circle[1:] + circle[:1]  # it closes the ring: the lower left corner
    upper = (count + 1) // 2
    cells = [(node, column, 0) for column, node in enumerate(circle[:upper])]
    lower = circle[upper:]
    cells += [(node, len(lower) - 1 - column, 1) for column, node in enumerate(lower)]
    return _Block(tuple(cells))
