"""Private temporary folders: mode 0700, removed at the end, and swept up by a later run where the end was a kill.

A folder's owner holds a lock on its `.lock` file (flock, shared with forked children) as long as it works. A run that is
killed outright cannot remove anything; the next run removes what nobody holds any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import ExitStack, contextmanager
from typing import Callable, Iterator, List

PREFIX = "dumpwalk-"
_LOCK = ".lock"
_YOUNG_SECONDS = 60.0
"""A folder younger than this is never swept: its owner may be between making and locking it."""


@contextmanager
def private_folder() -> Iterator[str]:
    """A new folder that only this user can enter, gone afterwards whatever happened. Raises OSError."""
    folder = tempfile.mkdtemp(prefix=PREFIX)
    lock = None
    try:
        lock = os.open(os.path.join(folder, _LOCK), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def folder_on_demand() -> Iterator[Callable[[], str]]:
    """What makes a `private_folder` at its first call, and gives the same one from then on. The call may raise OSError."""
    with ExitStack() as stack:
        made: List[str] = []

        def folder() -> str:
            if not made:
                made.append(stack.enter_context(private_folder()))
            return made[0]

        yield folder


def sweep() -> int:
    """Remove folders of runs that were killed; returns how many. Raises nothing: it is housekeeping."""
    removed = 0
    try:
        top = tempfile.gettempdir()
        with os.scandir(top) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(PREFIX)]
    except OSError:
        return 0
    for name in names:
        folder = os.path.join(top, name)
        if _abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _abandoned(folder: str) -> bool:
    """Ours, private, not young, and its lock is free."""
    try:
        about = os.lstat(folder)
        private = stat.S_ISDIR(about.st_mode) and stat.S_IMODE(about.st_mode) == 0o700
        if not private or about.st_uid != os.getuid() or time.time() - about.st_mtime < _YOUNG_SECONDS:
            return False
        lock = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
