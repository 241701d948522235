"""A suspension of all managed threads that is under way."""

from __future__ import annotations

from dumpwalk.analysis.results import LockLook, SuspensionLook, ThreadLook
from dumpwalk.analysis.step import Step
from dumpwalk.analysis.suspension import find_suspension

STEP = Step(
    name="suspension",
    rank=110,
    gives=SuspensionLook,
    needs=(ThreadLook, LockLook),
    look=lambda known: SuspensionLook(find_suspension(known)),
    instead=lambda known: SuspensionLook(None),
    timed=False,
)
