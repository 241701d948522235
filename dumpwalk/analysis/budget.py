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
    """Raised in the middle of a phase by an alarm."""


class Alarm:
    """Rings in a phase or is remembered until the next one: never anywhere else. One for each analysis that has a time limit,
    in the main thread of a process of its own, since a process has one timer."""

    def __init__(self, seconds: float) -> None:
        """From now on the running phase ends after so many seconds, and later ones do not begin."""
        self.in_phase = False
        self.rung = False
        self._deadline = time.monotonic() + seconds
        signal.signal(signal.SIGALRM, self._ring)
        self.set(1.0)

    def _ring(self, number: int, frame: Optional[FrameType]) -> None:
        self.rung = True
        if self.in_phase:
            self.in_phase = False
            raise OutOfTime

    def set(self, share: float) -> None:
        """Let it ring after this share of the time that is left."""
        self.rung = False
        left = self._deadline - time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, max(left * share, 0.001))


class Phases:
    """Runs phases until one runs out of time or memory; `stopped` then says which and why."""

    def __init__(self, progress: Callable[[str], None], alarm: Optional[Alarm] = None) -> None:
        self._progress = progress
        self._alarm = alarm
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
            if self._alarm is not None and share < 1.0:
                self._alarm.set(share)
            try:
                return self._begun(action)
            except OutOfTime:
                self._stop(phase, "the time limit was reached", share == 1.0)
            except MemoryError:
                self._stop(phase, "memory ran out", True)
            finally:
                if self._alarm is not None and share < 1.0:
                    self._alarm.set(1.0)
        self.unfinished.append(phase)
        return instead()

    def _begun(self, action: Callable[[], Result]) -> Result:
        alarm = self._alarm
        if alarm is None:
            return action()
        try:
            alarm.in_phase = True
            if alarm.rung:
                raise OutOfTime
            return action()
        finally:
            alarm.in_phase = False

    def _stop(self, phase: str, what: str, for_good: bool) -> None:
        self.stopped = self.stopped or f'{what} in the phase "{phase}"'
        self._over = for_good
