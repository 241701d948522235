"""Runs the analysis of each core in a child process, so that a crash or hang of lldb is a sentence and not the end.

The child is forked when this Python can import lldb (Linux), else it is started under the Python that can, or inside lldb.
It tells its phase as it goes and sends the report as JSON over a pipe. When it dies, hangs or grows too big, a second child
analyses the file without lldb: everything that memory proves is still reported, and coverage says what happened. No child
outlives the parent, and no temporary file does (docs/limits.md has the details).

One thread drives all children: a fork in a process of several threads may deadlock, and a sibling could keep a dead
child's pipe open.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from dumpwalk import limits, scratch
from dumpwalk.debugger.discovery import Discovery, discover
from dumpwalk.engine.run import Options
from dumpwalk.errors import DebuggerFailed, DumpwalkError, Interrupted, NoLldb, TimedOut, Unreadable
from dumpwalk.jobs.child import Child, End, start
from dumpwalk.jobs.worker import Job
from dumpwalk.report.json_format import from_wire
from dumpwalk.report.model import FailedCore, Report

Outcome = Union[Report, FailedCore]
Progress = Callable[[str, str], None]
"""Called with the core's path and the phase."""


def analyze_all(
    paths: Sequence[str],
    options: Options,
    timeout: float,
    progress: Progress = lambda path, phase: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> List[Outcome]:
    """The outcome of each core, in the order given; some run side by side. `meanwhile` is called once they do.

    Raises NoLldb when there is no lldb at all, Interrupted at Ctrl-C and the signals that end a batch.
    """
    discovery = discover()
    if not discovery.usable:
        raise NoLldb(discovery.problem or "no usable lldb was found.")
    scratch.sweep()
    return _Batch(paths, options, timeout, discovery, progress).run(meanwhile)


@dataclass
class _Core:
    """One core on its way: first a child with lldb, then perhaps one without."""

    position: int
    path: str
    folder: str
    started: float
    child: Child
    with_lldb: bool = True
    why: str = ""
    """What happened to the child with lldb."""
    cleanup: ExitStack = field(default_factory=ExitStack)


class _Batch:
    def __init__(
        self, paths: Sequence[str], options: Options, timeout: float, discovery: Discovery, progress: Progress
    ) -> None:
        self._paths, self._options, self._timeout = list(paths), options, timeout
        self._discovery, self._progress = discovery, progress
        self._outcomes: Dict[int, Outcome] = {}
        self._running: List[_Core] = []
        self._at_once = min(len(self._paths), _processors(), limits.SIDE_BY_SIDE)

    def run(self, meanwhile: Callable[[], None]) -> List[Outcome]:
        waiting = list(range(len(self._paths)))
        idle = [meanwhile]
        with _told_to_end():
            try:
                while waiting or self._running:
                    while waiting and len(self._running) < self._at_once:
                        self._begin(waiting.pop(0))
                    while idle:
                        idle.pop()()
                    if self._running:
                        self._step()
            except KeyboardInterrupt:
                raise Interrupted("interrupted.") from None
            finally:
                for core in self._running:
                    core.child.kill()
                for core in self._running:
                    core.cleanup.close()
        return [self._outcomes[position] for position in range(len(self._paths))]

    def _begin(self, position: int) -> None:
        try:
            self._launch(position)
        except OSError as error:  # no temporary folder, no more processes or files
            path = self._paths[position]
            failed = Unreadable(f"{path}: its analysis could not be started ({error.strerror or error}).")
            self._outcomes[position] = FailedCore(path, failed.sentence(), failed.exit_code, failed.kind)

    def _launch(self, position: int) -> None:
        with ExitStack() as cleanup:
            folder = cleanup.enter_context(scratch.private_folder())
            started = time.monotonic()
            seconds = self._timeout * limits.LLDB_SHARE
            child = start(self._job(position, folder, True, "", seconds), self._discovery)
            self._running.append(
                _Core(position, self._paths[position], folder, started, child, cleanup=cleanup.pop_all())
            )

    def _job(self, position: int, folder: str, with_lldb: bool, why: str, seconds: float) -> Job:
        path = self._paths[position]
        return Job(
            path=path,
            file=os.path.abspath(path),
            modules=tuple(os.path.abspath(m) for m in self._options.modules),
            sha256=self._options.sha256,
            temp_dir=folder,
            parent=os.getpid(),
            with_lldb=with_lldb,
            why_bare=why,
            seconds=seconds,
            side_by_side=self._at_once,
        )

    def _step(self) -> None:
        """Wait for the next message, end or time limit of any child, and act on it."""
        now = time.monotonic()
        soonest = min(core.child.deadline for core in self._running)
        poll = select.poll()  # select() cannot watch descriptors above 1023, which a caller's program may have reached
        for core in self._running:
            poll.register(core.child.reader, select.POLLIN)
        ready = {reader for reader, _ in poll.poll(1000 * max(0.0, min(soonest - now, 0.5)))}
        for core in list(self._running):
            before = core.child.phase
            end = core.child.step(core.child.reader in ready)
            if core.child.phase != before:
                self._progress(core.path, core.child.phase)
            if end is not None:
                self._ended(core, end)

    def _ended(self, core: _Core, end: End) -> None:
        outcome = _outcome(core.path, end)
        if outcome is None and core.with_lldb:
            core.why = f'the analysis with lldb {end.problem} in the phase "{end.phase}"'
            left = self._timeout - (time.monotonic() - core.started)
            if left > 0 and self._go_on_without(core, left):
                return
        if outcome is None:
            outcome = self._failure(core, end)
        self._outcomes[core.position] = outcome
        self._running.remove(core)
        core.cleanup.close()

    def _go_on_without(self, core: _Core, seconds: float) -> bool:
        """A second child, without lldb; False when none can be started."""
        try:
            core.child = start(self._job(core.position, core.folder, False, core.why, seconds), None)
        except OSError:
            return False
        core.with_lldb = False
        return True

    def _failure(self, core: _Core, end: End) -> FailedCore:
        error: DumpwalkError
        if end.timed_out or time.monotonic() - core.started >= self._timeout:
            error = TimedOut(f"{core.path}: no result within {self._timeout:g} seconds ({core.why}).")
        elif core.with_lldb:
            error = DebuggerFailed(f"{core.path}: {core.why}, and no second child could be started.")
        else:
            error = DebuggerFailed(
                f'{core.path}: {core.why}, and the one without lldb {end.problem} in the phase "{end.phase}".'
            )
        return FailedCore(core.path, error.sentence(), error.exit_code, error.kind)


def _outcome(path: str, end: End) -> Optional[Outcome]:
    """What a child brought back: a report, or an error that another child would meet too. None: it failed."""
    if end.error is not None:
        return FailedCore(path, end.error["error"], end.error["exit_code"], end.error["error_kind"])
    return from_wire(end.report) if end.report is not None else None


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


@contextmanager
def _told_to_end() -> Iterator[None]:
    """SIGTERM and SIGHUP end the batch as Ctrl-C does: children killed, temporary files removed."""

    def stop(number: int, frame: Optional[FrameType]) -> None:
        raise KeyboardInterrupt

    previous: List[Tuple[signal.Signals, Any]] = []
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                previous.append((number, signal.signal(number, stop)))
    except ValueError:
        pass  # not the main thread: someone else's program decides about its signals
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)


def split(outcomes: Sequence[Outcome]) -> Tuple[List[Report], List[FailedCore]]:
    reports = [o for o in outcomes if isinstance(o, Report)]
    return reports, [o for o in outcomes if isinstance(o, FailedCore)]
