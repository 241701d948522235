"""Whose runtime it is where it is not CoreCLR's."""

from __future__ import annotations

from typing import Iterator

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.other_runtimes import OtherLook, recognise
from dumpwalk.analysis.results import Stacks
from dumpwalk.analysis.step import Step
from dumpwalk.claims.model import Coverage
from dumpwalk.coreclr.runtime_view import RuntimeView


def _look(known: Gathered) -> OtherLook:
    return OtherLook(recognise(known.process) if known.of(RuntimeView).info is None else None)


def _covers(known: Gathered) -> Iterator[Coverage]:
    other = known.other
    if other is not None:
        how = f"a process of {other.name} ({other.how}), whose own locks are not read; {other.advice}"
        yield Coverage("other-runtime", "none", how)


STEP = Step(
    name="other runtimes",
    rank=25,
    gives=OtherLook,
    needs=(RuntimeView, Stacks),
    look=_look,
    instead=lambda known: OtherLook(None),
    covers=_covers,
    areas=("dispatch-cache",),
)
