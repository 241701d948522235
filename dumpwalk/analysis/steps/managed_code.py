"""Names of managed frames, by metadata: the second of three sources (a symbol, metadata, what the code does)."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import ManagedCode, Stacks
from dumpwalk.analysis.step import Step
from dumpwalk.coreclr.chain_names import name_by_chain
from dumpwalk.coreclr.managed_frames import name_frames
from dumpwalk.coreclr.runtime_view import RuntimeView


def _look(known: Gathered) -> ManagedCode:
    view = known.of(RuntimeView).managed
    if view is None:
        return ManagedCode(None)
    named = name_frames(known.process, view)
    named.chain_ends = name_by_chain(known.process, view)
    return ManagedCode(named)


STEP = Step(
    name="managed code",
    rank=30,
    gives=ManagedCode,
    needs=(RuntimeView, Stacks),
    look=_look,
    instead=lambda known: ManagedCode(None),
    areas=("managed-code",),
    applies=lambda known: known.runtime is not None,
)
