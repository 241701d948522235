"""The wait-for graph, of everything before it."""

from __future__ import annotations

from dumpwalk.analysis import wait_graph
from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import ChainWalks, LockLook, SuspensionLook
from dumpwalk.analysis.step import Step
from dumpwalk.locks.graph import Graph


def _look(known: Gathered) -> Graph:
    reading = known.of(LockLook).reading
    more = (reading.edges, reading.labels) if reading is not None else ((), {})
    return wait_graph.build(known.locks, known.waits, known.write_lock, known.walkers, known.suspension, *more)


STEP = Step(
    name="wait graph",
    rank=120,
    gives=Graph,
    needs=(ChainWalks, LockLook, SuspensionLook),
    look=_look,
    instead=lambda known: Graph(),
    timed=False,
)
