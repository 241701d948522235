"""The wait-for graph as shapes: boxes, paths and labels in pixels, with the ids that tell which node or edge each is."""

from __future__ import annotations

from typing import Callable, Dict, List, Sequence, Set, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.escape import cut, display_width
from dumpwalk.report.html.scale import CHARACTER, scale
from dumpwalk.report.model import GraphEdge, WaitGraph
from dumpwalk.report.names import plural
from dumpwalk.report.sections.wait_graph.drawing import EDGE_WORDS, Drawing, Drawn, grouped
from dumpwalk.report.sections.wait_graph.layout import layout

HEIGHT, ROW, GAP, MARGIN = 44, 80, 92, 14
LABEL = 40
"""Characters of a label; the whole one is in the node's title."""
DRAWN_NODES = 400
"""More are told as text only: nobody reads such a drawing, and the browser should not have to lay it out."""
SURE = ("proved", "corroborated")

Anchor = Callable[[Drawn, Sequence[str]], str]
"""(node, its member ids) -> id of where it is shown."""


@dataclass(frozen=True)
class Box:
    id: str
    kind: str
    """thread, lock, chain, gc or group."""
    lines: Tuple[str, ...]
    title: str
    members: Tuple[str, ...]
    """Ids of the report's nodes that it stands for."""
    x: float
    y: float
    width: float
    root: bool
    """Holds a lock, walks a circular chain, or keeps a suspension waiting: what the others wait for."""
    stuck: bool
    """In a circle of waits, or a chain that leads in a circle."""
    anchor: str

    @property
    def middle(self) -> float:
        return self.y + HEIGHT / 2


@dataclass(frozen=True)
class Path:
    edges: Tuple[Tuple[str, str], ...]
    """(from, to) of the report's edges that it stands for."""
    path: str
    x: float
    y: float
    beside: bool
    """Its label stands at the right of (x, y), not above."""
    label: str
    grade: str
    """Told beside the label where it is not sure."""
    title: str
    sure: bool
    stuck: bool


@dataclass(frozen=True)
class GraphFigure:
    top: int
    """y of the upper edge: below 0 where a path leads over the first row."""
    width: int
    height: int
    scale: float
    """A wide drawing is made somewhat smaller, so that what all wait for, at the right, is seen at once."""
    boxes: Tuple[Box, ...]
    paths: Tuple[Path, ...]
    nodes: int
    """Nodes of the report's graph, those in groups counted one by one."""


def figure(graph: WaitGraph, anchor: Anchor) -> GraphFigure | None:
    """None where nothing waits for anything, or where there is too much to draw."""
    drawing = grouped(graph)
    if not drawing.edges:
        return None
    joined = {end for edge in drawing.edges for end in (edge.source, edge.target)}
    nodes = _circles_first([node for node in drawing.nodes if node.id in joined], drawing)
    if len(nodes) > DRAWN_NODES:
        return None
    members = _members(graph, drawing)
    boxes = _boxes(nodes, drawing, members, anchor)
    paths = tuple(_path(edge, boxes, members, drawing) for edge in drawing.edges)
    low = max(max(box.y for box in boxes.values()) + HEIGHT, max(path.y for path in paths) + 24) + MARGIN
    top = min(0, int(min(path.y for path in paths)) - 24)
    width = max(box.x + box.width for box in boxes.values()) + MARGIN
    width = max([width, *(path.x + CHARACTER * len(path.label + path.grade) for path in paths if path.beside)])
    return GraphFigure(
        top, int(width), int(low - top), scale(width), tuple(boxes[node.id] for node in nodes), paths,
        sum(len(members[node.id]) for node in nodes),
    )  # fmt: skip


def _circles_first(nodes: Sequence[Drawn], drawing: Drawing) -> List[Drawn]:
    """Circles of waits stand above the rest, the verdict's first."""
    place = {node: number for number, circle in reversed(list(enumerate(drawing.cycles))) for node in circle}
    return sorted(nodes, key=lambda node: place.get(node.id, len(drawing.cycles)))


def _label(text: str) -> str:
    """A name short enough for a box: of a type at an address the namespace goes first, and the address stays whole."""
    name, at, address = text.rpartition(" at 0x")
    if len(text) <= LABEL or not at:
        return cut(text, LABEL)
    base, bracket, arguments = name.partition("[")
    return cut(base.rsplit(".", 1)[-1] + bracket + arguments, max(LABEL - len(at + address), 8)) + at + address


def _members(graph: WaitGraph, drawing: Drawing) -> Dict[str, Tuple[str, ...]]:
    """The ids that each drawn node stands for: itself, or all threads with the same edges (drawing.grouped)."""
    ends: Dict[str, List[Tuple[str, ...]]] = {}
    for edge in graph.edges:
        ends.setdefault(edge.source, []).append(("out", edge.target, edge.grade, edge.kind))
        ends.setdefault(edge.target, []).append(("in", edge.source, edge.grade, edge.kind))
    alike: Dict[Tuple[Tuple[str, ...], ...], List[str]] = {}
    shown = {node.id for node in drawing.nodes}
    for node in graph.nodes:
        if node.kind == "thread" and node.id not in shown:
            alike.setdefault(tuple(sorted(ends.get(node.id, []))), []).append(node.id)
    found = {}
    for drawn in drawing.nodes:
        rest = alike.get(tuple(sorted(ends.get(drawn.id, []))), []) if drawn.count > 1 else []
        found[drawn.id] = (drawn.id, *rest)
    return found


def _boxes(
    nodes: Sequence[Drawn], drawing: Drawing, members: Dict[str, Tuple[str, ...]], anchor: Anchor
) -> Dict[str, Box]:
    places = layout([node.id for node in nodes], [(edge.source, edge.target) for edge in drawing.edges])
    lines = {node.id: _lines(node, drawing) for node in nodes}
    widths = {name: max(78.0, CHARACTER * max(map(display_width, text)) + 26) for name, text in lines.items()}
    columns = [0.0] * (1 + max(place.column for place in places.values()))
    for name, place in places.items():
        columns[place.column] = max(columns[place.column], widths[name])
    gap = (
        GAP if all(edge.grade in SURE for edge in drawing.edges) else GAP + 36
    )  # a dashed line needs some length to be seen
    lefts = [MARGIN + sum(columns[:i]) + gap * i for i in range(len(columns))]
    roots = {edge.target for edge in drawing.edges if edge.kind in ("held-by", "suspends")}
    roots |= {edge.source for edge in drawing.edges if edge.kind == "walks"}
    loop = drawing.in_cycle
    boxes = {}
    for node in nodes:
        place = places[node.id]
        left = lefts[place.column] + (columns[place.column] - widths[node.id]) / 2
        kind = "group" if node.count > 1 else node.kind
        boxes[node.id] = Box(
            node.id, kind, lines[node.id], node.label, members[node.id], round(left, 1),
            round(MARGIN + place.row * ROW, 1), round(widths[node.id], 1), node.id in roots,
            node.id in loop or node.kind == "chain", anchor(node, members[node.id]),
        )  # fmt: skip
    return boxes


def _lines(node: Drawn, drawing: Drawing) -> Tuple[str, ...]:
    if node.count > 1:
        return (plural(node.count, "thread"), cut(node.numbers, LABEL))
    if node.kind == "thread":
        held = sum(1 for edge in drawing.edges if edge.kind == "held-by" and edge.target == node.id)
        walks = any(edge.kind == "walks" and edge.source == node.id for edge in drawing.edges)
        does = [word for word in ("holder" if held else "", "spins" if walks else "") if word]
        return (_label(node.label), ", ".join(does)) if does else (_label(node.label),)
    if node.kind == "chain" and ": " in node.label:
        bucket, _, loop = node.label.partition(": ")
        return (cut(bucket, LABEL), cut(loop, LABEL))
    return (_label(node.label), node.kind) if node.kind == "lock" else (_label(node.label),)


def _path(edge: GraphEdge, boxes: Dict[str, Box], members: Dict[str, Tuple[str, ...]], drawing: Drawing) -> Path:
    path, x, y, beside = _route(boxes[edge.source], boxes[edge.target], drawing.edges, list(boxes.values()))
    word = EDGE_WORDS.get(edge.kind, edge.kind)
    stuck = _together(edge, drawing) or edge.kind == "walks"
    edges = tuple((source, target) for source in members[edge.source] for target in members[edge.target])
    title = f"{boxes[edge.source].title} {word} {boxes[edge.target].title}, {edge.grade}: {edge.how}"
    sure = edge.grade in SURE
    return Path(edges, path, round(x, 1), round(y, 1), beside, word, "" if sure else edge.grade, title, sure, stuck)


def _together(edge: GraphEdge, drawing: Drawing) -> bool:
    circles: List[Set[str]] = [set(cycle) for cycle in drawing.cycles]
    return any(edge.source in circle and edge.target in circle for circle in circles)


def _route(
    source: Box, target: Box, edges: Sequence[GraphEdge], boxes: Sequence[Box]
) -> Tuple[str, float, float, bool]:
    """(path, x and y of the label, whether the label stands beside it)."""
    centre_from, centre_to = source.x + source.width / 2, target.x + target.width / 2
    both_ways = any(edge.source == target.id and edge.target == source.id for edge in edges)
    forward = target.x > source.x + source.width
    backward = source.x > target.x + target.width
    if (forward or (backward and not both_ways)) and not _blocked(source, target, boxes):
        x1, x2 = (source.x + source.width, target.x - 6) if forward else (source.x, target.x + target.width + 6)
        bend = (x1 + x2) / 2
        y1, y2 = source.middle, target.middle
        path = f"M{x1:.1f} {y1:.1f}C{bend:.1f} {y1:.1f} {bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
        return path, bend, (y1 + y2) / 2, False
    if not forward and not backward:  # one above the other
        down = target.y > source.y
        y1, y2 = source.y + (HEIGHT if down else 0), target.y + (-6 if down else HEIGHT + 6)
        path = f"M{centre_from:.1f} {y1:.1f}L{centre_to:.1f} {y2:.1f}"
        return path, (centre_from + centre_to) / 2 + 7, (y1 + y2) / 2 + 4, True
    if forward:  # over what stands between
        y1, y2, depth = source.y, target.y - 6, min(source.y, target.y) - 40
    else:  # back, below everything between
        y1, y2, depth = source.y + HEIGHT, target.y + HEIGHT + 6, max(source.y, target.y) + HEIGHT + 34
    path = f"M{centre_from:.1f} {y1:.1f}C{centre_from:.1f} {depth:.1f} {centre_to:.1f} {depth:.1f} {centre_to:.1f} {y2:.1f}"
    return path, (centre_from + centre_to) / 2, y1 + 0.75 * (depth - y1), False


def _blocked(source: Box, target: Box, boxes: Sequence[Box]) -> bool:
    """Whether another box stands on the straight way."""
    left, right = sorted((source, target), key=lambda box: box.x)
    for box in boxes:
        if box is not source and box is not target and left.x + left.width < box.x and box.x + box.width < right.x:
            part = (box.x + box.width / 2 - left.x) / (right.x - left.x)
            if abs(left.middle + part * (right.middle - left.middle) - box.middle) < HEIGHT / 2 + 6:
                return True
    return False
