"""Whose memory the cache's nodes are, and who takes such memory apart: what an unload could have to do with it."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.node_owners import NodeOwners, find_unloaders
from dumpwalk.analysis.results import CacheLook, LockLook, ThreadLook
from dumpwalk.analysis.step import Step
from dumpwalk.coreclr.dispatch.managers import read_managers
from dumpwalk.coreclr.runtime_view import RuntimeView


def _look(known: Gathered) -> NodeOwners:
    cache = known.of(CacheLook).cache
    assert cache is not None
    managers = read_managers(known.process, known.of(RuntimeView), cache.shape.address)
    return NodeOwners(managers, tuple(find_unloaders(known.process)))


STEP = Step(
    name="owners of the cache's memory",
    rank=105,
    gives=NodeOwners,
    needs=(RuntimeView, CacheLook, ThreadLook, LockLook),
    look=_look,
    instead=lambda known: NodeOwners(),
    areas=("managed-code",),
    applies=lambda known: known.of(CacheLook).cache is not None,
)
