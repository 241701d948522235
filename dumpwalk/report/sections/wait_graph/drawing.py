"""The wait-for graph grouped (threads that wait alike are one node), as a Mermaid flowchart and as DOT."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Dict, List, Set, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.escape import clean, cut
from dumpwalk.report.model import GraphEdge, GraphNode, Report, WaitGraph
from dumpwalk.report.names import plural, ranges

MERMAID_EDGES = 39
"""GitHub draws up to 500; beyond some 40 nobody reads it."""
LABEL_CHARACTERS = 120


@dataclass(frozen=True)
class Drawn:
    """A node as drawn: one of the graph's, or several threads that wait alike."""

    id: str
    kind: str
    label: str
    count: int = 1
    numbers: str = ""
    """Of several threads: their numbers, as ranges."""


@dataclass(frozen=True)
class Drawing:
    nodes: Tuple[Drawn, ...]
    edges: Tuple[GraphEdge, ...]
    cycles: Tuple[Tuple[str, ...], ...]
    left_out: int = 0
    """Edges that were not drawn."""

    @property
    def in_cycle(self) -> Set[str]:
        return {node for cycle in self.cycles for node in cycle}


def grouped(graph: WaitGraph) -> Drawing:
    """Threads that have the same edges in and out (other end, grade, kind) as one node; those in a circle stay alone."""
    circles = {node for cycle in graph.cycles for node in cycle}
    ends: Dict[str, List[Tuple[str, ...]]] = {}
    waiting: Set[str] = set()
    for edge in graph.edges:
        ends.setdefault(edge.source, []).append(("out", edge.target, edge.grade, edge.kind))
        ends.setdefault(edge.target, []).append(("in", edge.source, edge.grade, edge.kind))
        if edge.kind in ("waits", "walks"):
            waiting.add(edge.source)
    members: Dict[Tuple[Tuple[str, ...], ...], List[GraphNode]] = {}
    alone: List[GraphNode] = []
    for node in graph.nodes:
        if node.kind == "thread" and node.thread is not None and node.id in waiting and node.id not in circles:
            members.setdefault(tuple(sorted(ends[node.id])), []).append(node)
        else:
            alone.append(node)
    drawn = [Drawn(node.id, node.kind, node.label) for node in alone]
    dropped: Set[str] = set()
    for nodes in members.values():
        if len(nodes) == 1:
            drawn.append(Drawn(nodes[0].id, nodes[0].kind, nodes[0].label))
            continue
        numbers = ranges((n.thread for n in nodes if n.thread is not None), most=12)
        drawn.append(Drawn(nodes[0].id, "thread", f"{plural(len(nodes), 'thread')}: {numbers}", len(nodes), numbers))
        dropped.update(node.id for node in nodes[1:])
    known = {node.id for node in drawn}
    edges = [e for e in graph.edges if e.source not in dropped and e.source in known and e.target in known]
    return Drawing(tuple(drawn), tuple(edges), graph.cycles)


def _limited(drawing: Drawing, edges: int) -> Drawing:
    """The most telling edges: cycles, what is held and walked, then the largest groups of waiters."""
    if len(drawing.edges) <= edges:
        return _connected(drawing)
    counts = {node.id: node.count for node in drawing.nodes}
    loop = drawing.in_cycle

    def rank(item: Tuple[int, GraphEdge]) -> Tuple[bool, bool, int, int]:
        number, edge = item
        return (not {edge.source, edge.target} <= loop, edge.kind == "waits", -counts.get(edge.source, 1), number)

    kept = sorted(sorted(enumerate(drawing.edges), key=rank)[:edges])
    left_out = len(drawing.edges) - edges
    return _connected(Drawing(drawing.nodes, tuple(edge for _, edge in kept), drawing.cycles, left_out))


def _connected(drawing: Drawing) -> Drawing:
    """Without the nodes that have no edge: a lock that nobody holds or waits for says nothing in a drawing."""
    used = {end for edge in drawing.edges for end in (edge.source, edge.target)}
    return replace(drawing, nodes=tuple(node for node in drawing.nodes if node.id in used))


_MERMAID_UNSAFE = re.compile(r"[^A-Za-z0-9 _.,:~()+/=-]")
_SHAPES = {"thread": '["%s"]', "lock": '{{"%s"}}', "chain": '(("%s"))', "gc": '(["%s"])'}
EDGE_WORDS = {
    "waits": "waits for", "held-by": "held by", "suspends": "waits to suspend", "walks": "walks", "ended-by": "is up to",
    "runs": "run by",
}  # fmt: skip
"""What an arrow says, by the kind of its edge."""


def _mermaid_text(label: str) -> str:
    """Every character that could mean something to Mermaid or HTML as its decimal entity (`#60;`)."""
    return _MERMAID_UNSAFE.sub(lambda m: f"#{ord(m.group())};", cut(label, LABEL_CHARACTERS))


def mermaid(report: Report, edges: int = MERMAID_EDGES) -> str:
    """A flowchart of at most that many edges."""
    drawing = _limited(grouped(clean(report.wait_graph)), edges)
    if not drawing.edges:
        return 'flowchart LR\n  none["nothing was found waiting for anything"]\n'
    ids = {node.id: f"n{number}" for number, node in enumerate(drawing.nodes)}
    lines = ["flowchart LR"]
    for node in drawing.nodes:
        shape = '[["%s"]]' if node.count > 1 else _SHAPES.get(node.kind, '["%s"]')
        lines.append(f"  {ids[node.id]}{shape % _mermaid_text(node.label)}")
    for edge in drawing.edges:
        word = _mermaid_text(f"{EDGE_WORDS.get(edge.kind, edge.kind)}, {edge.grade}")
        arrow = "-->" if edge.grade in ("proved", "corroborated") else "-.->"
        lines.append(f'  {ids[edge.source]} {arrow}|"{word}"| {ids[edge.target]}')
    loop = sorted(ids[node] for node in drawing.in_cycle if node in ids)
    walked = sorted(ids[e.target] for e in drawing.edges if e.kind == "walks")
    if loop or walked:
        lines.append("  classDef stuck stroke:#d1242f,stroke-width:3px")
        lines.append(f"  class {','.join(sorted(set(loop + walked), key=lambda i: int(i[1:])))} stuck")
    if drawing.left_out:
        lines.append(f'  more["{plural(drawing.left_out, "edge")} more, not drawn"]')
    return "\n".join(lines) + "\n"


def _dot_text(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"')


def dot(report: Report) -> str:
    """The whole grouped graph for Graphviz."""
    drawing = _connected(grouped(clean(report.wait_graph)))
    loop = drawing.in_cycle
    shapes = {"thread": "box", "lock": "hexagon", "chain": "doublecircle", "gc": "oval"}
    ids = {node.id: f"n{number}" for number, node in enumerate(drawing.nodes)}
    lines = ["digraph waits {", "  rankdir=LR;", '  node [fontname="Helvetica"];']
    for node in drawing.nodes:
        extra = ", color=red, penwidth=2" if node.id in loop or node.kind == "chain" else ""
        shape = shapes.get(node.kind, "box")
        label = _dot_text(cut(node.label, LABEL_CHARACTERS))
        lines.append(f'  {ids[node.id]} [label="{label}", shape={shape}{extra}];')
    for edge in drawing.edges:
        style = "solid" if edge.grade in ("proved", "corroborated") else "dashed"
        word = _dot_text(f"{EDGE_WORDS.get(edge.kind, edge.kind)} ({edge.grade})")
        lines.append(f'  {ids[edge.source]} -> {ids[edge.target]} [label="{word}", style={style}];')
    return "\n".join([*lines, "}"]) + "\n"
