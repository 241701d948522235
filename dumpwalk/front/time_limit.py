"""What the command itself does after the children (drawing the report) ends in time, too: an alarm, not a hope."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from types import FrameType
from typing import Iterator, NoReturn, Optional

from dumpwalk.errors import TimedOut

_LEAST_SECONDS = 0.2
"""For a page that is as good as drawn."""


@contextlib.contextmanager
def at_most(seconds: float, words: str) -> Iterator[None]:
    """The block ends within that time, or raises TimedOut with these words. Where no alarm may be set (another thread, a
    program that uses it itself) nothing is bounded."""

    def over(number: int, frame: Optional[FrameType]) -> NoReturn:
        raise TimedOut(words)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGALRM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, _LEAST_SECONDS))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


class Clock:
    """The time that a command has: for one core all of it is that core's, for several the pages of all get as long as one."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def rest(self, timeout: float, cores: int) -> float:
        """Seconds left for the report of what was analysed."""
        return timeout if cores > 1 else timeout - (time.monotonic() - self._begun)
