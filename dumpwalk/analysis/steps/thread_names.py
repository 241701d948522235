"""Thread.Name of the managed threads."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import ThreadLook, ThreadNames
from dumpwalk.analysis.step import Step
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.coreclr.thread_names import thread_names


def _look(known: Gathered) -> ThreadNames:
    view, managed = known.of(RuntimeView).managed, known.of(ThreadLook).managed
    return ThreadNames(thread_names(view, managed) if view is not None and managed is not None else {})


STEP = Step(
    name="thread names",
    rank=70,
    gives=ThreadNames,
    needs=(RuntimeView, ThreadLook),
    look=_look,
    instead=lambda known: ThreadNames({}),
    areas=("managed-threads",),
    applies=lambda known: known.managed is not None,
)
