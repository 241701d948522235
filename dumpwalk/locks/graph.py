"""The wait-for graph: thread waits for lock, lock is held by thread, with a grade on each edge.

Deadlocks are its strongly connected components (networkx); a component may be any set of locks and threads, of any size. A
thread that waits for a lock it owns itself is a component too, when the lock is not recursive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Tuple


@dataclass(frozen=True)
class Edge:
    source: str
    target: str
    kind: str
    """waits (thread to lock), held-by (lock to thread), suspends (gc to thread), walks (thread to chain)."""
    grade: str
    how: str


@dataclass
class Graph:
    """Node ids are `thread-INDEX`, `lock-0x...`, `chain-BUCKET` and `gc`."""

    nodes: Dict[str, str] = field(default_factory=dict)
    """Node id to label, in order of insertion."""
    edges: List[Edge] = field(default_factory=list)

    def add(self, edge: Edge) -> None:
        self.edges.append(edge)

    def successors(self, node: str) -> List[str]:
        return [e.target for e in self.edges if e.source == node]

    def cycles(self) -> List[Tuple[str, ...]]:
        """Each strongly connected component with a cycle in it, its nodes in the order of one walk around."""
        core = self._without_ends()
        if not core:
            return []
        import networkx  # only a graph that may hold a cycle pays for the import

        digraph = networkx.DiGraph()
        digraph.add_edges_from((e.source, e.target) for e in self.edges if e.source in core and e.target in core)
        found = []
        for component in networkx.strongly_connected_components(digraph):
            if len(component) > 1 or digraph.has_edge(*(2 * tuple(component))):
                part = digraph.subgraph(component)
                found.append(_rotated(tuple(edge[0] for edge in networkx.find_cycle(part, min(component, key=_order)))))
        return sorted(found)

    def _without_ends(self) -> set:
        """Nodes left when those without a way out, or without a way in, are taken away again and again. Linear."""
        ways: Tuple[Dict[str, List[str]], Dict[str, List[str]]] = ({}, {})
        for edge in self.edges:
            ways[0].setdefault(edge.source, []).append(edge.target)
            ways[1].setdefault(edge.target, []).append(edge.source)
        left = set(ways[0]) | set(ways[1])
        for out, back in (ways, ways[::-1]):
            count = {node: sum(1 for n in out.get(node, ()) if n in left) for node in left}
            ends = [node for node in left if not count[node]]
            left.difference_update(ends)
            while ends:
                for before in back.get(ends.pop(), ()):
                    if before in left:
                        count[before] -= 1
                        if not count[before]:
                            left.discard(before)
                            ends.append(before)
        return left

    def reaching(self, target: str) -> List[str]:
        """All nodes from which `target` can be reached, in order of insertion."""
        incoming: Dict[str, List[str]] = {}
        for edge in self.edges:
            incoming.setdefault(edge.target, []).append(edge.source)
        seen = set()
        work = [target]
        while work:
            for source in incoming.get(work.pop(), ()):
                if source not in seen:
                    seen.add(source)
                    work.append(source)
        seen.discard(target)
        return [n for n in self.nodes if n in seen]


def _order(node: str) -> Tuple[int, int, str]:
    kind, _, rest = node.partition("-")
    return (kind != "thread", int(rest) if rest.isdigit() else 0, rest)


def _rotated(cycle: Tuple[str, ...]) -> Tuple[str, ...]:
    """The same walk, begun at its lowest thread: two runs give the same bytes."""
    first = min(range(len(cycle)), key=lambda i: _order(cycle[i]))
    return cycle[first:] + cycle[:first]
