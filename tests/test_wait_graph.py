"""The wait-for graph's cycles, against networkx on the whole graph, for graphs of every small shape and for long ones."""

from __future__ import annotations

import random

import networkx
import pytest

from dumpwalk.locks.graph import Edge, Graph, Node


def graph_of(pairs) -> Graph:
    graph = Graph()
    for source, target in pairs:
        for node in (source, target):
            graph.nodes.setdefault(node, node.id)
        graph.add(Edge(source, target, "waits", "proved", ""))
    return graph


def expected(pairs) -> set:
    whole = networkx.DiGraph(pairs)
    return {
        frozenset(part)
        for part in networkx.strongly_connected_components(whole)
        if len(part) > 1 or any(whole.has_edge(n, n) for n in part)
    }


@pytest.mark.parametrize("seed", range(300))
def test_each_cycle_lies_in_one_component_and_each_component_has_one(seed):
    rng = random.Random(seed)
    size = rng.randrange(1, 12)
    pairs = [
        (Node("thread", rng.randrange(size)), Node("thread", rng.randrange(size))) for _ in range(rng.randrange(0, 24))
    ]
    graph = graph_of(pairs)
    cycles = graph.cycles()
    components = expected(pairs)
    assert len(cycles) == len(components)
    for cycle in cycles:
        assert any(set(cycle) <= part for part in components)
        for here, there in zip(cycle, [*cycle[1:], cycle[0]]):
            assert (here, there) in pairs


def long_chain(length: int, closed: bool) -> list:
    pairs = []
    for i in range(length):
        pairs.append((Node("thread", i), Node("lock", i)))
        if closed or i + 1 < length:
            pairs.append((Node("lock", i), Node("thread", (i + 1) % length)))
    return pairs


def test_a_long_queue_of_locks_is_no_cycle_and_a_long_ring_is_one():
    assert graph_of(long_chain(20_000, False)).cycles() == []
    (ring,) = graph_of(long_chain(5_000, True)).cycles()
    assert len(ring) == 10_000 and ring[0] == Node("thread", 0)
