"""Waits that may be part of a hang although nothing proves it."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.other_runtimes import OtherLook
from dumpwalk.analysis.results import LockLook, UnsettledWaits
from dumpwalk.analysis.step import Step
from dumpwalk.analysis.unexplained import unsettled


def _look(known: Gathered) -> UnsettledWaits:
    return UnsettledWaits(tuple(unsettled(known)))


STEP = Step(
    name="unsettled waits",
    rank=130,
    gives=UnsettledWaits,
    needs=(LockLook, OtherLook),
    look=_look,
    instead=lambda known: UnsettledWaits(()),
    timed=False,
)
