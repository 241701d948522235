"""Fetching as the commands do it: which servers, progress on the terminal, a sentence for each server that failed."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

import click

from dumpwalk.errors import DumpwalkError, Usage
from dumpwalk.front.command import Option, Options

if TYPE_CHECKING:
    from dumpwalk.binaries.fetch import Fetched
    from dumpwalk.binaries.keys import Wanted
    from dumpwalk.binaries.servers import Server

DEFAULT_SERVER = "microsoft"


def server_option() -> Option:
    return Option(
        "--server",
        "server",
        lldb=None,
        multiple=True,
        metavar="URL|NAME|FOLDER",
        help="Symbol server, `debuginfod:URL`, a folder laid out as a symbol store, or a known name (microsoft, nuget, "
        "elfutils, debian, ubuntu, fedora). Repeatable; asked in this order, before those of _NT_SYMBOL_PATH and "
        "DEBUGINFOD_URLS. Without any: microsoft.",
    )


def fetch_option() -> Option:
    return Option(
        "--fetch",
        "fetch",
        lldb=None,
        is_flag=True,
        help="First fetch the missing binaries and debug files, as `dumpwalk fetch` does. The network is never used "
        "without --fetch or --server.",
    )


def servers_of(options: Options) -> List[Server]:
    """Raises Usage for what --server names and cannot be."""
    from dumpwalk.binaries import servers

    named = [servers.parse(text) for text in options.get("server") or ()]
    found = list(dict.fromkeys([*named, *servers.from_environment(os.environ)]))
    return found or [servers.parse(DEFAULT_SERVER)]


def fetch_for(cores: Sequence[str], options: Options) -> Tuple[List[str], List[str]]:
    """(files for -m, sentences to tell) for analyses that asked for --fetch. A core that cannot be read is passed over:
    its analysis says why."""
    from dumpwalk.binaries.cache import SymbolCache
    from dumpwalk.binaries.fetch import fetch_all
    from dumpwalk.binaries.lacking import places
    from dumpwalk.dump.preflight import opened_core
    from dumpwalk.scratch import private_folder

    servers = servers_of(options)
    wanted: Dict[str, Wanted] = {}
    for path in cores:
        try:
            with private_folder() as folder, opened_core(path) as core:
                for place in places(core, options["modules"], folder):
                    if place.file is None:
                        wanted.setdefault(place.wanted.key, place.wanted)
        except Usage:
            raise
        except (DumpwalkError, OSError):
            continue
    with Progress() as progress:
        results = fetch_all(list(wanted.values()), servers, SymbolCache(), progress)
    return [r.file for r in results if r.file is not None], notes_of(results)


def notes_of(results: Sequence[Fetched]) -> List[str]:
    """What is worth a line: liars and failures; not what a server simply does not have. One line where all failed alike."""
    notes = [note for result in results for note in result.notes]
    if len(notes) > 6:
        notes = [*notes[:5], f"... and {len(notes) - 5} more like these."]
    return notes


class Progress:
    """One line on standard error, on a terminal only, for what takes over a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._so_far: Dict[str, Tuple[int, Optional[int]]] = {}
        self._start = time.monotonic()
        self._last = 0.0
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *about: object) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)

    def __call__(self, wanted: Wanted, so_far: int, total: Optional[int]) -> None:
        self.file(wanted.what, so_far, total)

    def file(self, name: str, so_far: int, total: Optional[int]) -> None:
        now = time.monotonic()
        with self._lock:
            self._so_far[name] = (so_far, total)
            if now - self._start < 1 or now - self._last < 0.1 or not sys.stderr.isatty():
                return
            self._last = now
            done = sum(s for s, _ in self._so_far.values())
            all_of = sum(t or s for s, t in self._so_far.values())
            line = f"dumpwalk: fetching {name} ... {done >> 20} of {all_of >> 20} MiB"
            click.echo("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1], err=True, nl=False)
            self._shown = True
