"""Gets the files of a core's process, by build-id or UUID: cache, folders, servers in the order given. Never uses a file
that was not checked, and never asks a server unless one was named.
"""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, List, Optional, Sequence, Set, Tuple

from dumpwalk import limits
from dumpwalk.binaries import arrived
from dumpwalk.binaries.cache import SymbolCache
from dumpwalk.binaries.download import DownloadFailed, ServerDown, download, new_session
from dumpwalk.binaries.keys import Wanted, is_dotnet
from dumpwalk.binaries.servers import Server
from dumpwalk.dataclass import dataclass
from dumpwalk.errors import DumpwalkError


@dataclass(frozen=True)
class Fetched:
    """What became of one wanted file."""

    wanted: Wanted
    status: str
    """here (matched on this machine already), cached, fetched, missing (no server has it), refused (what came was wrong),
    failed (a server could not be asked)."""
    file: Optional[str]
    source: Optional[str]
    """The server or folder it came from, for cached ones None."""
    notes: Tuple[str, ...] = ()
    """A sentence for each server that lied or failed."""


Progress = Callable[[Wanted, int, Optional[int]], None]


def fetch_all(
    wanted: Sequence[Wanted],
    servers: Sequence[Server],
    cache: SymbolCache,
    progress: Progress = lambda one, so_far, total: None,
) -> List[Fetched]:
    """In the order of `wanted`, several at once. KeyboardInterrupt ends it and leaves no half file."""
    job = _Job(servers, cache, progress)
    order = sorted(range(len(wanted)), key=lambda i: (not is_dotnet(wanted[i].name), i))
    results: List[Optional[Fetched]] = [None] * len(wanted)
    pool = ThreadPoolExecutor(max_workers=limits.FETCHES_AT_ONCE, thread_name_prefix="fetch")
    try:
        pending = {i: pool.submit(job.get, wanted[i]) for i in order}
        for i in order:
            results[i] = pending[i].result()
    except BaseException:
        job.stop.set()
        for future in pending.values():
            future.cancel()
        raise
    finally:
        pool.shutdown(wait=True)
        job.session.close()
    return [r for r in results if r is not None]


class _Stopped(DownloadFailed):
    pass


class _Job:
    def __init__(self, servers: Sequence[Server], cache: SymbolCache, progress: Progress) -> None:
        self._servers, self._cache, self._progress = servers, cache, progress
        self.session = new_session()
        self.stop = threading.Event()
        self._down: Set[Server] = set()

    def get(self, wanted: Wanted) -> Fetched:
        cached = self._cache.find(wanted.key)
        notes: List[str] = []
        if cached is not None:
            reason = arrived.why_not(wanted, cached)
            if reason is None:
                return Fetched(wanted, "cached", cached, None)
            notes.append(f"The cache's {wanted.what} is not used: {reason}.")
        try:
            with self._cache.filling(wanted.key) as path:
                other = self._cache.find(wanted.key) if cached is None else None
                if other is not None and arrived.why_not(wanted, other) is None:
                    return Fetched(wanted, "cached", other, None)  # another process was quicker
                return self._from_servers(wanted, path, notes)
        except DumpwalkError as error:
            return Fetched(wanted, "failed", None, None, (*notes, error.sentence()))

    def _from_servers(self, wanted: Wanted, path: str, notes: List[str]) -> Fetched:
        status = "missing"
        for server in self._servers:
            if self.stop.is_set():
                break
            if server in self._down:
                status = "failed"
                continue
            try:
                if not self._one(server, wanted, path):
                    continue
            except DownloadFailed as error:
                if isinstance(error, ServerDown):
                    first = server not in self._down
                    self._down.add(server)
                    status = "failed"
                    if first:
                        notes.append(f"{server.label} cannot be reached: {error}.")
                    continue
                if not error.absent:
                    status = "failed" if status == "missing" else status
                    notes.append(f"{server.label}: {wanted.what}: {error}.")
                continue
            reason = arrived.why_not(wanted, path)
            if reason is None:
                return Fetched(wanted, "fetched", self._cache.keep(wanted.key, path), server.label, tuple(notes))
            status = "refused"
            notes.append(f"{server.label} sent something else for {wanted.what}, thrown away: {reason}.")
        return Fetched(wanted, status, None, None, tuple(notes))

    def _one(self, server: Server, wanted: Wanted, path: str) -> bool:
        """Whether `path` now holds what the server has; not checked yet."""
        for file in server.files(wanted):
            if os.path.isfile(file) and arrived.why_not(wanted, file) is None:
                try:
                    if os.path.getsize(file) > limits.FETCH_BYTES:
                        raise DownloadFailed(f"it is larger than {limits.FETCH_BYTES >> 30} GiB")
                    shutil.copyfile(file, path)
                except OSError as error:
                    raise DownloadFailed(f"it cannot be copied ({error.strerror or error})") from None
                return True
        url = server.url(wanted)
        if url is None:
            return False

        def report(so_far: int, total: Optional[int]) -> None:
            if self.stop.is_set():
                raise _Stopped("stopped")
            self._progress(wanted, so_far, total)

        with open(path, "w+b") as sink:
            download(self.session, url, sink, report)
        return True
