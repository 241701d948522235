"""Ends the phases of an analysis when time or memory runs out, so that what is known by then is still reported.

Only for analyses in Python alone: a signal's handler runs between two Python instructions, never inside lldb.
"""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Callable, List, Optional, TypeVar

Result = TypeVar("Result")


class OutOfTime(Exception):
    """Raised in the middle of a phase by the alarm that `end_phases_after` sets."""


class _Alarm:
    """Rings in a phase or is remembered until the next one: never anywhere else."""

    in_phase = False
    rung = False
    deadline: Optional[float] = None
    """In time.monotonic()'s seconds; None when no alarm is set."""

    def ring(self, number: int, frame: Optional[FrameType]) -> None:
        self.rung = True
        if self.in_phase:
            self.in_phase = False
            raise OutOfTime

    def set(self, share: float) -> None:
        """Let it ring after this share of the time that is left."""
        if self.deadline is not None:
            self.rung = False
            left = self.deadline - time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, max(left * share, 0.001))


_alarm = _Alarm()


def end_phases_after(seconds: float) -> None:
    """From then on the running phase ends at once, and later ones do not begin. Main thread only."""
    _alarm.deadline = time.monotonic() + seconds
    signal.signal(signal.SIGALRM, _alarm.ring)
    _alarm.set(1.0)


class Phases:
    """Runs phases until one runs out of time or memory; `stopped` then says which and why."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._over = False
        self.stopped: Optional[str] = None
        self.unfinished: List[str] = []
        """Phases that ended early or did not begin, in order."""

    def run(
        self, phase: str, action: Callable[[], Result], instead: Callable[[], Result], share: float = 1.0
    ) -> Result:
        """The action's result, or that of `instead` when the action was stopped or not begun.

        With a `share` below 1 the phase has only so much of the time that is left, and when it is over the others go on.
        """
        if not self._over:
            self._progress(phase)
            if share < 1.0:
                _alarm.set(share)
            try:
                _alarm.in_phase = True
                if _alarm.rung:
                    raise OutOfTime
                return action()
            except OutOfTime:
                self._stop(phase, "the time limit was reached", share == 1.0)
            except MemoryError:
                self._stop(phase, "memory ran out", True)
            finally:
                _alarm.in_phase = False
                if share < 1.0:
                    _alarm.set(1.0)
        self.unfinished.append(phase)
        return instead()

    def _stop(self, phase: str, what: str, for_good: bool) -> None:
        self.stopped = self.stopped or f'{what} in the phase "{phase}"'
        self._over = for_good
