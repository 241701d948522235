"""The work of `dumpwalk batch`: cores that are not done yet, each into the store as soon as it is analysed."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any, Callable, Dict, List, Tuple

from dumpwalk.errors import NotFound
from dumpwalk.front import streams
from dumpwalk.front.command import Options
from dumpwalk.jobs import cores, isolation
from dumpwalk.jobs.isolation import Wire
from dumpwalk.jobs.job import Task
from dumpwalk.report.json_format import from_wire, to_dict
from dumpwalk.triage.journal import Done, Journal, name_of
from dumpwalk.triage.record import record_of, time_of
from dumpwalk.triage.store import Store

CLUSTER = "cluster"
"""The error kind of what a cluster, and not a core, is to blame for (jobs/cluster/client.py)."""


def run(options: Options, store: Store) -> Dict[str, Done]:
    """What came of each core, by path, in the order found. Raises NotFound where there is none, NoLldb, Interrupted."""
    journal = Journal(store)
    paths = list(cores.below(options["paths"]))
    if not paths:
        raise NotFound(f"No core is below {', '.join(options['paths'])}.")
    outcome: Dict[str, Done] = {}
    names: Dict[str, str] = {}
    for path in paths:
        try:
            names[path] = name_of(path)
        except OSError as error:
            outcome[path] = Done(None, "not analysed", "", f"{path} cannot be read ({error.strerror}).")
    if options["again"]:
        journal.forget(list(names.values()))
    before = journal.done(list(names.values()))
    waiting = [(path, name) for path, name in names.items() if name not in before]
    progress = Rate(len(waiting), len(names) - len(waiting), options["verbose"])
    tasks = [Task(path, tuple(options["modules"]), options["sha256"]) for path, _ in waiting]

    def finished(position: int, wire: Wire) -> None:
        path, name = waiting[position]
        if wire.get("error_kind") == CLUSTER:  # not the core's fault: the next run tries again
            outcome[path] = Done(None, "not analysed", "", str(wire["error"]))
        else:
            keep(journal, path, name, wire, options)
        progress.step(wire)

    try:
        if tasks and options["dask"]:
            from dumpwalk.jobs.cluster import client

            with client.opened(options["dask"]) as cluster:
                progress.where = cluster.where
                cluster.run_each(tasks, options["timeout"], finished)
        elif tasks:
            isolation.run_each(tasks, options["timeout"], finished, at_once=options["jobs"] or isolation.processors())
    finally:
        progress.end()
    after = journal.done(list(names.values()))
    for path in paths:
        if path not in outcome:
            outcome[path] = after.get(names[path]) or Done(None, "not analysed", "", f"{path}: its report is gone.")
    return {path: outcome[path] for path in paths}


def keep(journal: Journal, path: str, name: str, wire: Wire, options: Options) -> None:
    """One core's result into the store, whole or not at all."""
    if "error" in wire:
        journal.failed(name, path, str(wire["error"]))
        return
    report: Any = from_wire(wire)
    given = to_dict(report)
    moment = time_of(given, path)  # by the path as it is, before a name in it is redacted
    if options["redact"]:
        from dumpwalk.report.redact import redact

        given = to_dict(redact(report))
    journal.analysed(name, path, record_of(given, moment))


class Rate:
    """`37 of 200, 4.2 a second, 39 s left` on a terminal; with --verbose a line for each core."""

    def __init__(self, total: int, before: int, verbose: bool) -> None:
        self._total, self._before, self._verbose = total, before, verbose
        self._done = self._failed = 0
        self._start = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = 0.0
        self.where: Callable[[], str] = lambda: ""

    def step(self, wire: Wire) -> None:
        self._done += 1
        self._failed += "error" in wire
        if self._verbose:
            streams.tell(f"dumpwalk: {self.words(time.monotonic() - self._start)}")
        elif self._terminal and time.monotonic() - self._shown > 0.1:
            self._shown = time.monotonic()
            width = shutil.get_terminal_size().columns
            streams.tell("\r\x1b[K" + self.words(self._shown - self._start)[: width - 1], end="")

    def words(self, seconds: float) -> str:
        rate = self._done / max(seconds, 0.001)
        parts: List[str] = [f"{self._done:,} of {self._total:,}", f"{rate:.1f} a second"]
        parts.append(f"{remaining((self._total - self._done) / rate)} left" if self._done else "")
        parts.append(self.where())
        if self._failed:
            parts.append(f"{self._failed:,} not analysed")
        if self._before:
            parts.append(f"{self._before:,} done before")
        return ", ".join(part for part in parts if part)

    def end(self) -> None:
        if self._shown:
            streams.tell("\r\x1b[K", end="")


def remaining(seconds: float) -> str:
    """`39 s`, `12 min`, `3 h 5 min`."""
    whole, minutes = int(seconds + 0.5), int(seconds / 60 + 0.5)
    if whole < 100:
        return f"{whole} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


__all__: Tuple[str, ...] = ("Rate", "keep", "remaining", "run")
