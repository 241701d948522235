"""The wait-for graph, of everything before it."""

from __future__ import annotations

from typing import Dict, List, Tuple

from dumpwalk.analysis import wait_graph
from dumpwalk.analysis.async_look import AsyncLook
from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import ChainWalks, LockLook, SuspensionLook, thread_node
from dumpwalk.analysis.step import Step
from dumpwalk.locks.graph import Edge, Graph, Node


def _look(known: Gathered) -> Graph:
    reading = known.of(LockLook).reading
    labels = reading.labels if reading is not None else {}
    edges = [*(reading.edges if reading is not None else ()), *_bound_to_threads(known)]
    return wait_graph.build(known.locks, known.waits, known.write_lock, known.walkers, known.suspension, edges, labels)


def _bound_to_threads(known: Gathered) -> List[Edge]:
    """Tasks that cannot be done before a thread runs what is posted to its SynchronizationContext."""
    found: Dict[Tuple[int, int], Edge] = {}
    for blocked in known.of(AsyncLook).blocked:
        for bound in blocked.bound:
            for task in blocked.wait.tasks:
                edge = Edge(
                    Node("task", task.address), thread_node(bound.thread), "runs", "corroborated", bound.how, bound
                )
                found.setdefault((task.address, bound.thread.index), edge)
    return list(found.values())


STEP = Step(
    name="wait graph",
    rank=120,
    gives=Graph,
    needs=(AsyncLook, ChainWalks, LockLook, SuspensionLook),
    look=_look,
    instead=lambda known: Graph(),
    timed=False,
)
