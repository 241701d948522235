"""`dumpwalk graph`: the wait-for graph."""

from __future__ import annotations

from dumpwalk.front.command import Options
from dumpwalk.front.reporting import Renderer, report_command


def _view(options: Options) -> Renderer:
    from dumpwalk.report import text

    return text.render_graph_text


COMMAND = report_command(
    "The wait-for graph as a tree; -f mermaid and -f dot draw it.",
    view=_view,
    examples=(("dumpwalk graph core.1234 -f dot | dot -Tsvg > graph.svg", "a picture by Graphviz"),),
    rank=40,
)
