"""Ends the phases of an analysis when time or memory runs out, so that what is known by then is still reported.

Only for analyses in Python alone: a signal's handler runs between two Python instructions, never inside lldb.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Callable, List, Optional, TypeVar

Result = TypeVar("Result")


class OutOfTime(Exception):
    """Raised in the middle of a phase by the alarm that `end_phases_after` sets."""


class _Alarm:
    """Rings in a phase or is remembered until the next one: never anywhere else."""

    in_phase = False
    rung = False

    def ring(self, number: int, frame: Optional[FrameType]) -> None:
        self.rung = True
        if self.in_phase:
            self.in_phase = False
            raise OutOfTime


_alarm = _Alarm()


def end_phases_after(seconds: float) -> None:
    """From then on the running phase ends at once, and later ones do not begin. Main thread only."""
    signal.signal(signal.SIGALRM, _alarm.ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))


class Phases:
    """Runs phases until one runs out of time or memory; `stopped` then says which and why."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self.stopped: Optional[str] = None
        self.unfinished: List[str] = []
        """Phases that ended early or did not begin, in order."""

    def run(self, phase: str, action: Callable[[], Result], instead: Callable[[], Result]) -> Result:
        """The action's result, or that of `instead` when the action was stopped or not begun."""
        if self.stopped is None:
            self._progress(phase)
            try:
                _alarm.in_phase = True
                if _alarm.rung:
                    raise OutOfTime
                return action()
            except OutOfTime:
                self.stopped = f'the time limit was reached in the phase "{phase}"'
            except MemoryError:
                self.stopped = f'memory ran out in the phase "{phase}"'
            finally:
                _alarm.in_phase = False
        self.unfinished.append(phase)
        return instead()
