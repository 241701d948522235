"""The runtime's own list of threads, and the threads by every number that something may name them with."""

from __future__ import annotations

from typing import Iterator

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import ThreadLook
from dumpwalk.analysis.step import Step
from dumpwalk.claims.model import Coverage
from dumpwalk.core.process import Process
from dumpwalk.core.thread_index import RuntimeThread, ThreadIndex
from dumpwalk.coreclr.managed_threads import ManagedThreads, read_threads
from dumpwalk.coreclr.runtime_view import RuntimeView


def _look(known: Gathered) -> ThreadLook:
    runtime = known.of(RuntimeView)
    if runtime.info is None:
        return _without(known)
    managed = read_threads(known.process, runtime.info, runtime.contract)
    _confirm_numbers(known.process, managed)
    records = [RuntimeThread(r.address, r.managed_id, r.os_tid) for r in managed.threads]
    return ThreadLook(managed, ThreadIndex(known.process, records, managed.status == "complete"))


def _confirm_numbers(process: Process, managed: ManagedThreads) -> None:
    """The runtime's own list, whole and with every OS id a thread of the dump, shows whose numbers the dump's are."""
    ids = [t.os_tid for t in managed.threads if t.os_tid is not None]
    if managed.status == "complete" and len(ids) > 1 and all(process.thread_by_tid(tid) is not None for tid in ids):
        process.numbering.confirm("the runtime's own list of threads")


def _without(known: Gathered) -> ThreadLook:
    return ThreadLook(None, ThreadIndex(known.process))


def _covers(known: Gathered) -> Iterator[Coverage]:
    if known.runtime is None:
        return
    managed = known.managed
    if managed is None or not managed.threads:
        why = managed.coverage if managed is not None else "the runtime's thread list was not found"
        yield Coverage("managed-threads", "none", why)
    else:
        yield Coverage("managed-threads", managed.status, managed.coverage)


STEP = Step(
    name="managed threads",
    rank=60,
    gives=ThreadLook,
    needs=(RuntimeView,),
    look=_look,
    instead=_without,
    covers=_covers,
    areas=("managed-threads",),
    applies=lambda known: known.runtime is not None,
)
