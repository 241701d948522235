"""The wait-for graph on the page: drawn, and as a tree of lines."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.section import HtmlPart
from dumpwalk.report.sections.dispatch_cache.figure import bucket_of
from dumpwalk.report.sections.wait_graph import figure
from dumpwalk.report.sections.wait_graph.drawing import Drawn
from dumpwalk.report.sections.wait_graph.tree import Line, tree


@dataclass(frozen=True)
class GraphView:
    drawn: Optional[figure.GraphFigure]
    """None for a graph too large to be read as a drawing."""
    lines: Tuple[Line, ...]


def _view(core: Any) -> GraphView:
    nodes = {node.id: node for node in core.report.wait_graph.nodes}

    def anchor(node: Drawn, members: Sequence[str]) -> str:
        """Id of where the page shows it."""
        first = nodes.get(node.id)
        if first is None:
            return ""
        if first.kind == "lock":
            return str(core.lock_anchors.get(first.lock or "", ""))
        if first.thread is not None and node.count > 1:
            groups = {core.group_of.get(nodes[member].thread or -1, "") for member in members}
            several = core.id("locks" if core.locks else "threads")
            return str(core.group_of.get(first.thread, "") if len(groups) == 1 else several)
        if first.thread is not None:
            return str(core.link("thread", first.thread))
        bucket = bucket_of(first.id)
        return str(core.link("bucket", bucket)) if bucket is not None else ""

    lines = tuple(tree(core.report.wait_graph))
    return GraphView(figure.figure(core.report.wait_graph, anchor) if lines else None, lines)


HTML = (HtmlPart(15, "graph", "wait_graph/page.html.j2", _view, lambda view: "Wait graph" if view.lines else ""),)
