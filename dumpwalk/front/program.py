"""The process around the command line: its standard streams, its signals, and its exit code."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Callable, List, NoReturn, Optional

from dumpwalk.front import streams

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(stop: Callable[[int, Optional[FrameType]], Any], arguments: Optional[List[str]] = None) -> int:
    """The exit code of the command line. `stop` handles signals again once nothing is left to tidy up."""
    streams.open_all()
    from dumpwalk.front import cli

    sys.unraisablehook = _unraisable
    try:
        _handle(_interrupt)
        cli.main(arguments, prog_name="dumpwalk")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:  # in the moment before or after the command line's own
        streams.tell("dumpwalk: interrupted.")
        code = 1
    finally:
        _handle(stop)
    return streams.flushed(code)


def _interrupt(number: int, frame: Optional[FrameType]) -> NoReturn:
    raise KeyboardInterrupt


def _unraisable(told: Any) -> None:
    """An interruption that came in the middle of a callback or a finalizer, where Python drops it: once more, in a moment,
    when the main thread may wait for something."""
    if told.exc_type is KeyboardInterrupt:
        _thread.start_new_thread(_again, ())
    else:
        sys.__unraisablehook__(told)


def _again() -> None:
    time.sleep(0.02)
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGINT)


def _handle(handler: Any) -> None:
    for number in _STOPS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
