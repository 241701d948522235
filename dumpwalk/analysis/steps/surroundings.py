"""What the readers of managed locks ask: managed frames, types and words of stacks, threads by the runtime's records."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import ChainWalks, ManagedSurroundings, ThreadLook
from dumpwalk.analysis.step import Step
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.runtime_view import RuntimeView


def _look(known: Gathered) -> ManagedSurroundings:
    runtime, threads = known.of(RuntimeView), known.of(ThreadLook)
    if runtime.info is None or runtime.managed is None or threads.managed is None or not threads.managed.threads:
        return ManagedSurroundings(None)
    waits = known.of(ChainWalks).waits
    return ManagedSurroundings(Surroundings(known.process, runtime.info, runtime.managed, threads.managed, waits))


STEP = Step(
    name="managed locks",
    rank=85,
    gives=ManagedSurroundings,
    needs=(RuntimeView, ThreadLook, ChainWalks),
    look=_look,
    instead=lambda known: ManagedSurroundings(None),
    areas=("managed-locks",),
    applies=lambda known: known.runtime is not None,
)
