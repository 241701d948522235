"""Which runtime the process has, read once for all that follows."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.step import Step
from dumpwalk.coreclr.runtime_view import RuntimeView, read_runtime, without_runtime


def _look(known: Gathered) -> RuntimeView:
    return read_runtime(known.process)


STEP = Step(
    name="runtime",
    rank=10,
    gives=RuntimeView,
    needs=(),
    look=_look,
    instead=lambda known: without_runtime(known.process),
    areas=("dispatch-cache", "managed-threads"),
)
