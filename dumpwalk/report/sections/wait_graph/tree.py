"""The wait-for graph as lines of text: each circle first, then a tree from what blocks down to who is blocked."""

from __future__ import annotations

from collections import deque
from typing import Dict, List, Optional, Set, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.model import GraphEdge, WaitGraph
from dumpwalk.report.names import plural
from dumpwalk.report.sections.wait_graph.drawing import EDGE_WORDS, Drawing, Drawn, grouped

DEEPEST = 10
"""Levels drawn to scale; deeper ones keep that indent and tell their number."""


@dataclass(frozen=True)
class Line:
    """One line of the drawing: the branches before it, the text, and the grade of the edge it stands for."""

    branch: str
    text: str
    grade: str = ""
    how: str = ""


def tree(graph: WaitGraph) -> List[Line]:
    """Lines of the drawing; empty where nothing waits. Works on any graph, circles that nobody listed included."""
    drawing = grouped(graph)
    if not drawing.edges:
        return []
    return _Tree(drawing).lines()


def _blocked(node: Drawn, edge: GraphEdge, it: str) -> str:
    """`node` seen from what it depends on, which stands on the line above."""
    if edge.kind == "held-by":
        return f"does the {node.label}" if node.kind == "gc" else f"holds {node.label}"
    if edge.kind in ("ended-by", "runs"):
        return f"runs {node.label}" if edge.kind == "runs" else "its end"
    many = node.count > 1
    who = plural(node.count, "thread") if many else node.label
    said = {"waits": "wait", "walks": "walk it", "suspends": f"wait for {it} to stop"}.get(edge.kind, f"({edge.kind})")
    if not many and edge.kind in ("waits", "walks", "suspends"):
        said = said.replace("wait", "waits", 1).replace("walk", "walks", 1)
    return f"{who} {said}: {node.numbers}" if many else f"{who} {said}"


def _step(target: Drawn, edge: GraphEdge) -> str:
    """`target` seen from who depends on it, in a circle."""
    if edge.kind == "ended-by":
        return target.label  # the line above has said whose end it is
    return f"{EDGE_WORDS.get(edge.kind, edge.kind)} {target.label}"


class _Tree:
    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.nodes = {node.id: node for node in drawing.nodes}
        self.into: Dict[str, List[GraphEdge]] = {}
        self.out: Dict[str, List[GraphEdge]] = {}
        for edge in drawing.edges:
            self.into.setdefault(edge.target, []).append(edge)
            self.out.setdefault(edge.source, []).append(edge)
        self.parent: Dict[str, str] = {}
        """The node below which each one is drawn in full: the one nearest to the root."""
        self.done: Set[str] = set()
        self.result: List[Line] = []

    def lines(self) -> List[Line]:
        for cycle in self.drawing.cycles:
            self._circle([node for node in cycle if node in self.nodes])
        for node in self.drawing.nodes:
            if node.id not in self.done and node.id in self.into and node.id not in self.out:
                self._root(node)
        for node in self.drawing.nodes:  # what is left hangs in a circle that was not listed
            if node.id not in self.done and (node.id in self.into or node.id in self.out):
                self._root(node)
        return self.result

    def _edge(self, source: str, target: str) -> Optional[GraphEdge]:
        return next((edge for edge in self.out.get(source, []) if edge.target == target), None)

    def _circle(self, cycle: List[str]) -> None:
        if not cycle:
            return
        self.done.update(cycle)
        self.result.append(Line("", self.nodes[cycle[0]].label))
        for here, there in zip(cycle, [*cycle[1:], cycle[0]]):
            edge = self._edge(here, there)
            if edge is None:
                continue
            last = there == cycle[0]
            text = _step(self.nodes[there], edge) + ("   (the circle closes)" if last else "")
            self.result.append(Line("'-> " if last else "|   ", text, edge.grade, edge.how))
        for node in cycle:
            outside = [edge for edge in self.into.get(node, []) if edge.source not in self.done]
            if outside:
                self.result.append(Line("", f"{self.nodes[node].label}, further"))
                self._children(node, "")

    def _root(self, node: Drawn) -> None:
        self.done.add(node.id)
        self.result.append(Line("", node.label))
        self._children(node.id, "")

    def _settle(self, top: str) -> None:
        """Gives every node that is not drawn yet and depends on `top` the nearest node to hang from."""
        queue = deque([top])
        seen = {top}
        while queue:
            here = queue.popleft()
            for edge in self.into.get(here, []):
                if edge.source not in seen and edge.source not in self.done and edge.source in self.nodes:
                    seen.add(edge.source)
                    self.parent[edge.source] = here
                    queue.append(edge.source)

    def _children(self, top: str, prefix: str) -> None:
        self._settle(top)
        stack: List[Tuple[GraphEdge, str, int, bool]] = []

        def push(parent: str, branch: str, depth: int) -> None:
            edges = [edge for edge in self.into.get(parent, []) if edge.source in self.nodes]
            edges = [edge for edge in edges if edge.source not in self.done]
            order = sorted(range(len(edges)), key=lambda i: (edges[i].kind == "waits", i))
            for place, number in reversed(list(enumerate(order))):
                stack.append((edges[number], branch[-3 * DEEPEST :], depth, place == len(edges) - 1))

        push(top, prefix, 1)
        while stack:
            edge, branch, depth, last = stack.pop()
            node = self.nodes[edge.source]
            again = node.id in self.done or self.parent.get(node.id) != edge.target
            many = self.nodes[edge.target].count > 1
            text = _blocked(node, edge, "them" if many else "it") + (", too" if again else "")
            level = f"[{depth}] " if depth > DEEPEST else ""
            self.result.append(Line(level + branch + ("'- " if last else "|- "), text, edge.grade, edge.how))
            if not again:
                self.done.add(node.id)
                push(node.id, branch + ("   " if last else "|  "), depth + 1)
