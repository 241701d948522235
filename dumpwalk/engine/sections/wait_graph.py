"""The wait-for graph as the report has it."""

from __future__ import annotations

from typing import Sequence

from dumpwalk.analysis.facts import Facts
from dumpwalk.report import model


def graph_of(facts: Facts, threads: Sequence[model.Thread]) -> model.WaitGraph:
    graph = facts.graph
    named = {t.index: t.managed.name for t in threads if t.managed is not None and t.managed.name}
    nodes = [
        model.GraphNode(
            node.id,
            node.kind,
            f'{label} "{named[node.number]}"' if node.kind == "thread" and node.number in named else label,
            node.number if node.kind == "thread" else None,
            f"0x{node.number:x}" if node.kind == "lock" else None,
        )
        for node, label in graph.nodes.items()
    ]
    edges = tuple(model.GraphEdge(e.source.id, e.target.id, e.grade, e.how, e.kind) for e in graph.edges)
    cycles = tuple(tuple(node.id for node in cycle) for cycle in graph.cycles())
    return model.WaitGraph(tuple(nodes), edges, cycles)
