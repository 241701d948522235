"""`dumpwalk graph`: the wait-for graph."""

from __future__ import annotations

from dumpwalk.front.reporting import report_command, section_view

COMMAND = report_command(
    "The wait-for graph as a tree; -f mermaid and -f dot draw it.",
    view=section_view("wait_graph"),
    examples=(("dumpwalk graph core.1234 -f dot | dot -Tsvg > graph.svg", "a picture by Graphviz"),),
    rank=40,
)
