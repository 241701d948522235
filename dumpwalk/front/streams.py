"""Words onto the standard streams, which may be closed, full, or a pipe that nobody reads any more."""

from __future__ import annotations

import errno
import os
import sys
from typing import Callable, List

from dumpwalk.errors import DumpwalkError

NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


class OutputFailed(DumpwalkError):
    """Standard output does not take the report."""

    kind = "output-failed"
    help_text = "Write it to a file elsewhere with -o FILE."


def open_all() -> None:
    """Give closed standard streams a file of their own number: the next file that is opened would get it, and with it what
    is meant for the stream. A closed standard output then refuses to be written, standard error takes words for nobody.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the process's own stream
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def say(text: str) -> None:
    """All of the text onto standard output. Raises OutputFailed, BrokenPipeError."""
    data = text if text.endswith("\n") else text + "\n"
    try:
        sys.stdout.buffer.write(data.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise failure(error) from error


_said: List[Callable[[str], str]] = []
"""What changes every line for standard error, where something does."""


def through(change: Callable[[str], str]) -> None:
    """From now on every line for standard error goes through this (--redact)."""
    _said.append(change)


def tell(line: str, end: str = "\n") -> None:
    """A line onto standard error; nothing where that takes none: there is nobody left to tell."""
    for change in _said:
        line = change(line)
    try:
        sys.stderr.write(line + end)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def flushed(code: int) -> int:
    """The exit code after what is left of standard output was written: 1 where that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return code or 1
    except (OSError, ValueError) as error:
        tell(f"dumpwalk: {failure(error).sentence()}")
        return 1
    return code


def failure(error: BaseException) -> OutputFailed:
    """The error for a standard output that could not be written. What is left in its buffer goes nowhere: it would be
    tried again, and fail again, when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    closed = isinstance(error, ValueError) or (isinstance(error, OSError) and error.errno == errno.EBADF)
    reason = "it is closed" if closed else str(getattr(error, "strerror", None) or error)
    return OutputFailed(f"Standard output could not be written: {reason}.")
