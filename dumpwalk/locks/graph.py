"""The wait-for graph: thread waits for lock, lock is held by thread, with a grade on each edge.

Deadlocks are its strongly connected components (networkx); a component may be any set of locks and threads, of any size. A
thread that waits for a lock it owns itself is a component too, when the lock is not recursive.
"""

from __future__ import annotations

from dataclasses import field
from typing import Dict, Iterable, List, Literal, NamedTuple, Optional, Sequence, Set, Tuple

from dumpwalk.core.grade import Grade
from dumpwalk.dataclass import dataclass

NodeKind = Literal[
    "thread", "lock", "lock-queue", "lock-upgrade", "chain", "gc", "class-init", "task", "thread-end", "event", "finalizer",
    "pool-queue", "external",
]  # fmt: skip
EdgeKind = Literal["waits", "held-by", "suspends", "walks", "ended-by", "runs"]
"""waits (thread to what it waits for), held-by (lock to owner), suspends (gc to thread), walks (thread to chain), ended-by
(what is waited for to whoever must end it), runs (a task, a queue or an initialiser to the thread that works on it)."""


class Node(NamedTuple):
    """`number` is a thread's index, a bucket, an address or a descriptor; what there is once only has 0."""

    kind: NodeKind
    number: int

    @property
    def id(self) -> str:
        """As in the report: `thread-7`, `chain-1793`, `gc`, `lock-0x7f...`."""
        if self.kind in ("thread", "chain"):
            return f"{self.kind}-{self.number}"
        return f"{self.kind}-0x{self.number:x}" if self.number else self.kind


@dataclass(frozen=True)
class Edge:
    source: Node
    target: Node
    kind: EdgeKind
    grade: Grade
    how: str
    fact: object = field(default=None, compare=False, repr=False)
    """What it was drawn from: a Wait, an Owner, a Walker, a Suspension, or a kind's own record."""
    again: bool = False
    """To an owner that waits for the same lock, which it may take again: it waits for the other owners, so this is no step of a
    cycle."""


@dataclass
class Graph:
    nodes: Dict[Node, str] = field(default_factory=dict)
    """Node to label, in order of insertion."""
    edges: List[Edge] = field(default_factory=list)
    _cycles: Optional[Tuple[int, List[Tuple[Node, ...]]]] = field(default=None, repr=False, compare=False)
    _ways: Optional[Tuple[int, Dict[Node, List[Edge]], Dict[Node, List[Edge]]]] = field(
        default=None, repr=False, compare=False
    )

    _places: Dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def add(self, edge: Edge) -> None:
        self.edges.append(edge)

    def outgoing(self, node: Node) -> List[Edge]:
        return self._by_ends()[0].get(node, [])

    def among(self, members: Iterable[Node]) -> List[Edge]:
        """Edges between these nodes, in order of insertion. Linear in their own edges."""
        inside = set(members)
        place = self._place()
        found = [e for node in inside for e in self.outgoing(node) if e.target in inside]
        return sorted(found, key=lambda e: place[id(e)])

    def _place(self) -> Dict[int, int]:
        self._by_ends()
        return self._places

    def successors(self, node: Node) -> List[Node]:
        return [e.target for e in self.outgoing(node)]

    def _by_ends(self) -> Tuple[Dict[Node, List[Edge]], Dict[Node, List[Edge]]]:
        """Edges by source and by target; sorted once for all who ask."""
        if self._ways is None or self._ways[0] != len(self.edges):
            out: Dict[Node, List[Edge]] = {}
            back: Dict[Node, List[Edge]] = {}
            for edge in self.edges:
                out.setdefault(edge.source, []).append(edge)
                back.setdefault(edge.target, []).append(edge)
            self._ways = (len(self.edges), out, back)
            self._places = {id(edge): at for at, edge in enumerate(self.edges)}
        return self._ways[1], self._ways[2]

    def cycles(self) -> List[Tuple[Node, ...]]:
        """Each strongly connected component with a cycle in it, its nodes in the order of one walk around."""
        if self._cycles is None or self._cycles[0] != len(self.edges):
            self._cycles = (len(self.edges), self._find_cycles())
        return self._cycles[1]

    def _find_cycles(self) -> List[Tuple[Node, ...]]:
        steps = [edge for edge in self.edges if not edge.again]
        core = _without_ends(steps)
        if not core:
            return []
        rings = _rings(steps, core)
        if rings is not None:
            return rings
        import networkx  # its import takes longer than all the rest of an ordinary graph's search

        digraph = networkx.DiGraph()
        digraph.add_edges_from((e.source, e.target) for e in steps if e.source in core and e.target in core)
        found = []
        for component in networkx.strongly_connected_components(digraph):
            if len(component) > 1 or digraph.has_edge(*(2 * tuple(component))):
                part = digraph.subgraph(component)
                found.append(_rotated(tuple(edge[0] for edge in networkx.find_cycle(part, min(component, key=_order)))))
        return sorted(found, key=lambda cycle: [node.id for node in cycle])

    def reaching(self, *targets: Node) -> List[Node]:
        """All nodes from which one of `targets` can be reached, in order of insertion."""
        found = self._reached_by(targets, set(targets))
        return [n for n in self.nodes if n in found]

    def behind(self, groups: Sequence[Sequence[Node]]) -> List[List[Node]]:
        """For each group of nodes all others that wait for it, directly or not, in order of insertion. What waits for several
        groups (for two of the owners of one lock) is told with the first."""
        members = {node for group in groups for node in group}
        place = {node: at for at, node in enumerate(self.nodes)}
        seen: Set[Node] = set(members)
        found = []
        for group in groups:
            reached = self._reached_by(group, seen)
            found.append(sorted(reached, key=lambda n: place.get(n, 0)))
        return found

    def _reached_by(self, targets: Sequence[Node], seen: Set[Node]) -> Set[Node]:
        """What leads to `targets` and is not in `seen`, to which it is added."""
        incoming = self._by_ends()[1]
        found: Set[Node] = set()
        work = list(targets)
        while work:
            for edge in incoming.get(work.pop(), ()):
                if edge.source not in seen:
                    seen.add(edge.source)
                    found.add(edge.source)
                    work.append(edge.source)
        return found


def _rings(steps: Sequence[Edge], core: Set[Node]) -> Optional[List[Tuple[Node, ...]]]:
    """The cycles where each of these nodes leads to one other of them only, as in most deadlocks; None elsewhere.

    Each node has a way in, too (`_without_ends`), so there are as many ways in as out, one a node: separate rings.
    """
    onward: Dict[Node, Node] = {}
    for edge in steps:
        if edge.source in core and edge.target in core and onward.setdefault(edge.source, edge.target) != edge.target:
            return None
    found = []
    seen: Set[Node] = set()
    for first in sorted(core, key=_order):
        ring = [] if first in seen else [first]
        while ring and onward[ring[-1]] != first:
            ring.append(onward[ring[-1]])
        seen.update(ring)
        if ring:
            found.append(tuple(ring))
    return sorted(found, key=lambda cycle: [node.id for node in cycle])


def _without_ends(steps: Sequence[Edge]) -> Set[Node]:
    """Nodes left when those without a way out, or without a way in, are taken away again and again. Linear."""
    ways: Tuple[Dict[Node, List[Node]], Dict[Node, List[Node]]] = ({}, {})
    for edge in steps:
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


def _order(node: Node) -> Tuple[bool, str, int]:
    return (node.kind != "thread", node.kind, node.number)


def _rotated(cycle: Tuple[Node, ...]) -> Tuple[Node, ...]:
    """The same walk, begun at its lowest thread: two runs give the same bytes."""
    first = min(range(len(cycle)), key=lambda i: _order(cycle[i]))
    return cycle[first:] + cycle[:first]
