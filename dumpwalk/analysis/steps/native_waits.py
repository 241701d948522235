"""What each thread waits for, as its system call and the lock's own memory tell: the innermost layer of every wait."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import NativeWaits, Stacks
from dumpwalk.analysis.step import Step
from dumpwalk.coreclr.locks.wait_reader import WaitReader
from dumpwalk.coreclr.runtime_view import RuntimeView


def _look(known: Gathered) -> NativeWaits:
    runtime = known.of(RuntimeView)
    reader = WaitReader(known.process, runtime.layouts if runtime.info is not None else (), runtime.libc)
    return NativeWaits(tuple(reader.read(thread) for thread in known.process.threads))


STEP = Step(
    name="waits",
    rank=40,
    gives=NativeWaits,
    needs=(RuntimeView, Stacks),
    look=_look,
    instead=lambda known: NativeWaits(()),
    areas=("locks",),
)
