"""The cache of fetched files: a symbol store on this machine, shared by all of a user's dumpwalk processes.

A file stands at its key and appears there whole or not at all: it is written beside the store under a name of its own and
renamed. Two processes that want one file: the second waits for the first and takes its file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from typing import Iterator, List, NamedTuple, Optional

from dumpwalk import limits
from dumpwalk.errors import Unreadable

VARIABLE = "DUMPWALK_SYMBOL_CACHE"


class Entry(NamedTuple):
    key: str
    path: str
    size: int
    """Bytes."""
    used: float
    """When it was last asked for, seconds since 1970."""


class SymbolCache:
    """`folder`: where it is; by default DUMPWALK_SYMBOL_CACHE, else the user's cache folder of this system."""

    def __init__(self, folder: Optional[str] = None) -> None:
        self.folder = os.path.abspath(folder or default_folder())
        self._store = os.path.join(self.folder, "files")
        self._incoming = os.path.join(self.folder, "incoming")
        self._locks = os.path.join(self.folder, "locks")

    def find(self, key: str) -> Optional[str]:
        """The path of a file in the cache; its time of use becomes now."""
        path = self._path(key)
        if not os.path.isfile(path):
            return None
        try:
            os.utime(path)
        except OSError:
            pass  # a cache that somebody else filled, read-only: still good
        return path

    @contextmanager
    def filling(self, key: str) -> Iterator[str]:
        """A path to write a new file to, with this key locked; it is removed again unless `keep` took it over.

        Raises Unreadable when the cache cannot be written to, or another process holds the key for too long.
        """
        from filelock import FileLock, Timeout

        try:
            os.makedirs(self._locks, mode=0o700, exist_ok=True)
            os.makedirs(self._incoming, mode=0o700, exist_ok=True)
            name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
            lock = FileLock(os.path.join(self._locks, name[:3]), timeout=limits.FETCH_SECONDS)
            with lock:
                handle, path = tempfile.mkstemp(prefix=name[:16] + "-", dir=self._incoming)
                os.close(handle)
                try:
                    yield path
                finally:
                    if os.path.exists(path):
                        os.unlink(path)
        except Timeout:
            raise Unreadable(f"another process has been fetching {key} for {limits.FETCH_SECONDS} seconds.") from None
        except OSError as error:
            reason = error.strerror or error
            raise Unreadable(
                f"The symbol cache {self.folder} cannot be used ({reason}); {VARIABLE} names another folder."
            ) from error

    def keep(self, key: str, path: str) -> str:
        """Moves a whole, checked file to its place, and returns that."""
        place = self._path(key)
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        os.replace(path, place)
        return place

    def entries(self) -> List[Entry]:
        """What is in the cache, the one that was used last first."""
        found: List[Entry] = []
        for folder, _, names in os.walk(self._store):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    about = os.stat(path)
                except OSError:
                    continue  # another process removed it just now
                key = os.path.relpath(path, self._store).replace(os.sep, "/")
                found.append(Entry(key, path, about.st_size, about.st_mtime))
        return sorted(found, key=lambda e: (-e.used, e.key))

    def trim(self, max_bytes: int, max_age_days: Optional[float] = None) -> List[Entry]:
        """Removes what was not used for longest until at most `max_bytes` are left; returns what went."""
        oldest = time.time() - max_age_days * 86_400 if max_age_days is not None else None
        left, gone = 0, []
        for entry in self.entries():
            if left + entry.size > max_bytes or (oldest is not None and entry.used < oldest):
                self._remove(entry)
                gone.append(entry)
            else:
                left += entry.size
        return gone

    def clear(self) -> List[Entry]:
        """Removes every file, and what killed processes left behind."""
        gone = self.entries()
        for entry in gone:
            self._remove(entry)
        shutil.rmtree(self._store, ignore_errors=True)
        shutil.rmtree(self._incoming, ignore_errors=True)
        return gone

    def _path(self, key: str) -> str:
        parts = key.split("/")
        if any(p in ("", ".", "..") or os.sep in p for p in parts):
            raise ValueError(f"{key!r} is no key")
        return os.path.join(self._store, *parts)

    def _remove(self, entry: Entry) -> None:
        try:
            os.unlink(entry.path)
            os.removedirs(os.path.dirname(entry.path))  # the key's folders, as far as they are empty
        except OSError:
            pass


def default_folder() -> str:
    from platformdirs import user_cache_dir

    named = os.environ.get(VARIABLE)
    return named if named else os.path.join(user_cache_dir("dumpwalk", appauthor=False), "symbols")
