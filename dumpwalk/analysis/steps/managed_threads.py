"""The runtime's own list of threads, and the threads by every number that something may name them with."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import ThreadLook
from dumpwalk.analysis.step import Step
from dumpwalk.core.thread_index import RuntimeThread, ThreadIndex
from dumpwalk.coreclr.managed_threads import read_threads
from dumpwalk.coreclr.runtime_view import RuntimeView


def _look(known: Gathered) -> ThreadLook:
    runtime = known.of(RuntimeView)
    if runtime.info is None:
        return _without(known)
    managed = read_threads(known.process, runtime.info, runtime.contract)
    records = [RuntimeThread(r.address, r.managed_id, r.os_tid) for r in managed.threads]
    return ThreadLook(managed, ThreadIndex(known.process, records, managed.status == "complete"))


def _without(known: Gathered) -> ThreadLook:
    return ThreadLook(None, ThreadIndex(known.process))


STEP = Step(
    name="managed threads",
    rank=60,
    gives=ThreadLook,
    needs=(RuntimeView,),
    look=_look,
    instead=_without,
    areas=("managed-threads",),
    applies=lambda known: known.runtime is not None,
)
