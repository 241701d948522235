"""Runs the analysis of each core in a child process, so that a crash or hang of lldb is a sentence and not the end.

A child tells its phase as it goes and sends its answer as JSON over a pipe. When it dies, hangs or grows too big, a second
child analyses the file without lldb: everything that memory proves is still reported, and coverage says what happened. No
child outlives the parent, and no temporary file does; the time limit holds for all of it, tidying up too (docs/limits.md has
the details).

One thread drives all children of a batch. Batches in several threads of one program know nothing of each other.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import field
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from dumpwalk import limits, scratch
from dumpwalk.dataclass import dataclass
from dumpwalk.debugger.discovery import Discovery, discover
from dumpwalk.engine.run import Options
from dumpwalk.errors import DebuggerFailed, DumpwalkError, Interrupted, NoLldb, TimedOut, Unreadable
from dumpwalk.jobs import memory_bound
from dumpwalk.jobs.child import Child, End, start
from dumpwalk.jobs.job import Job, Task
from dumpwalk.report.json_format import from_wire
from dumpwalk.report.model import Entry, FailedCore, Report

Wire = Dict[str, Any]
"""What a task gave, as plain data: `report` with its tables (json_format.to_wire), `answer` of a look, or `error` with
`path`, `exit_code` and `error_kind`."""
Progress = Callable[[str, str], None]
"""Called with the core's path and the phase."""


def analyze_all(
    paths: Sequence[str],
    options: Options,
    timeout: float,
    progress: Progress = lambda path, phase: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> List[Entry]:
    """The outcome of each core, in the order given; some run side by side. `meanwhile` is called once they do.

    Raises NoLldb when the lldb that was asked for cannot be used, Interrupted at Ctrl-C and the signals that end a batch.
    """
    outcomes: Dict[int, Entry] = {}

    def finished(position: int, wire: Wire) -> None:
        outcomes[position] = outcome_of(wire)

    run_each([_task(path, options) for path in paths], timeout, finished, progress, meanwhile)
    return [outcomes[position] for position in range(len(paths))]


def analyze_process(
    pid: int,
    options: Options,
    timeout: float,
    progress: Progress = lambda path, phase: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Entry:
    """The outcome of a live process, which goes on whatever happens here: the kernel lets it go when the child ends.

    Raises NoLldb, Interrupted.
    """
    task = _task(f"process {pid}", options)._replace(pid=pid)
    return outcome_of(run_all([task], timeout, progress, meanwhile)[0])


def _task(path: str, options: Options) -> Task:
    return Task(
        path,
        tuple(options.modules),
        options.sha256,
        options.debug_files,
        held_by=options.held_by,
        evidence=options.evidence,
        wants=options.wants,
    )


def run_one(
    task: Task, timeout: float, progress: Progress = lambda path, phase: None, memory: Optional[int] = None
) -> Wire:
    """What the task gave, whatever happens to the child that does it. Raises NoLldb, Interrupted."""
    done: Dict[int, Wire] = {}
    run_each([task], timeout, done.__setitem__, progress, memory=memory)
    return done[0]


def run_all(
    tasks: Sequence[Task],
    timeout: float,
    progress: Progress = lambda path, phase: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> List[Wire]:
    """`run_one` of each, in the order given; some run side by side."""
    done: Dict[int, Wire] = {}
    run_each(tasks, timeout, done.__setitem__, progress, meanwhile)
    return [done[position] for position in range(len(tasks))]


def run_each(
    tasks: Sequence[Task],
    timeout: float,
    finished: Callable[[int, Wire], None],
    progress: Progress = lambda path, phase: None,
    meanwhile: Callable[[], None] = lambda: None,
    at_once: Optional[int] = None,
    memory: Optional[int] = None,
) -> None:
    """The same, and each is handed to `finished` with its position as soon as it is there; nothing of it is kept. `at_once`
    run side by side, without it as many as the processors and the limits allow. What `finished` raises ends all. A child
    may take `memory` bytes, without it its share of the machine's.

    Where there is no lldb, cores are analysed without one, and each report's coverage says why. Raises NoLldb where
    DUMPWALK_LLDB names one that cannot be used. The search for lldb is part of each core's time.
    """
    discovery, no_lldb = None, ""
    begun = time.monotonic()
    if any(task.with_lldb for task in tasks):
        discovery = discover(seconds=timeout * limits.LLDB_SHARE)
        if not discovery.usable:
            no_lldb = (discovery.problem or "no usable lldb was found").rstrip(".")
            if os.environ.get("DUMPWALK_LLDB"):
                raise NoLldb(f"{no_lldb}.")
            tasks = [task._replace(with_lldb=False) for task in tasks]
    scratch.sweep()
    spent = time.monotonic() - begun
    _Batch(tasks, timeout, spent, discovery, no_lldb, progress, finished, at_once, memory).run(meanwhile)


def outcome_of(wire: Wire) -> Entry:
    """The Report, or why there is none."""
    if "error" in wire:
        return FailedCore(wire["path"], wire["error"], wire["exit_code"], wire["error_kind"])
    return from_wire(wire)


_LOOK_SECONDS = 0.25
"""A child's memory is looked at that often; messages are taken at once."""


@dataclass
class _Core:
    """One core on its way: first a child with lldb, then perhaps one without."""

    position: int
    task: Task
    folder: str
    no_folder: str
    started: float
    child: Child
    with_lldb: bool
    why: str = ""
    """What happened to the child with lldb."""
    cleanup: ExitStack = field(default_factory=ExitStack)


class _Batch:
    def __init__(
        self,
        tasks: Sequence[Task],
        timeout: float,
        spent: float,
        discovery: Optional[Discovery],
        no_lldb: str,
        progress: Progress,
        finished: Callable[[int, Wire], None],
        at_once: Optional[int],
        memory: Optional[int],
    ) -> None:
        self._tasks, self._told = list(tasks), timeout
        self._timeout = max(0.0, timeout - spent - min(limits.RENDERING_SECONDS, timeout * limits.RENDERING_SHARE))
        self._discovery, self._no_lldb, self._progress = discovery, no_lldb, progress
        self._finished = finished
        self._running: List[_Core] = []
        self._at_once = min(len(self._tasks), at_once or min(processors(), limits.SIDE_BY_SIDE))
        self._memory = memory or memory_bound.share(self._at_once)
        self._tidying = min(limits.TIDYING_SECONDS, timeout * limits.TIDYING_SHARE)

    def run(self, meanwhile: Callable[[], None]) -> None:
        waiting = deque(range(len(self._tasks)))
        idle = [meanwhile]
        with _told_to_end():
            try:
                while waiting or self._running:
                    while waiting and len(self._running) < self._at_once:
                        self._begin(waiting.popleft())
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

    def _begin(self, position: int) -> None:
        try:
            self._launch(position)
        except OSError as error:  # no more processes or files
            path = self._tasks[position].path
            failed = Unreadable(f"{path}: its analysis could not be started ({error.strerror or error}).")
            self._finished(position, _failed(path, failed))

    def _launch(self, position: int) -> None:
        task = self._tasks[position]
        with ExitStack() as cleanup:
            started = time.monotonic()
            folder, no_folder = "", ""
            try:
                folder = cleanup.enter_context(scratch.private_folder())
            except OSError as error:
                no_folder = error.strerror or str(error)  # a plain core needs none
            seconds = self._timeout * limits.LLDB_SHARE if task.with_lldb else self._timeout - self._tidying
            job = self._job(task, folder, no_folder, task.with_lldb, self._no_lldb, seconds)
            child = start(job, self._discovery if task.with_lldb else None)
            self._running.append(
                _Core(position, task, folder, no_folder, started, child, task.with_lldb, cleanup=cleanup.pop_all())
            )

    def _job(self, task: Task, folder: str, no_folder: str, with_lldb: bool, why: str, seconds: float) -> Job:
        return Job(
            path=task.path,
            file=_absolute(task.file or task.path),
            modules=tuple(_absolute(m) for m in task.modules),
            sha256=task.sha256,
            debug_files=task.debug_files,
            held_by=task.held_by,
            evidence=task.evidence,
            pid=task.pid,
            wants=task.wants,
            look=task.look,
            arguments=task.arguments,
            temp_dir=folder,
            no_temp_dir=no_folder,
            parent=os.getpid(),
            with_lldb=with_lldb,
            why_bare=why,
            seconds=seconds,
            memory=self._memory,
        )

    def _step(self) -> None:
        """Wait for the next message, end or time limit of any child, and act on it."""
        now = time.monotonic()
        soonest = min(core.child.deadline for core in self._running)
        poll = select.poll()  # select() cannot watch descriptors above 1023, which a caller's program may have reached
        for core in self._running:
            poll.register(core.child.reader, select.POLLIN)
        ready = {reader for reader, _ in poll.poll(1000 * max(0.0, min(soonest - now, _LOOK_SECONDS)))}
        for core in list(self._running):
            end = core.child.step(core.child.reader in ready)
            for phase in core.child.begun:
                self._progress(core.task.path, phase)
            core.child.begun.clear()
            if end is not None:
                self._ended(core, end)

    def _ended(self, core: _Core, end: End) -> None:
        wire = end.report if end.error is None else {"path": core.task.path, **end.error}
        if wire is None and core.with_lldb:
            core.child.kill()
            core.why = f'the analysis with lldb {end.problem} in the phase "{end.phase}"'
            left = self._timeout - self._tidying - (time.monotonic() - core.started)
            if left > 0 and self._go_on_without(core, left):
                return
        try:  # the kernel takes the child's memory down meanwhile
            self._finished(core.position, wire if wire is not None else self._failure(core, end))
        finally:
            core.child.kill()
            core.cleanup.close()
            self._running.remove(core)

    def _go_on_without(self, core: _Core, seconds: float) -> bool:
        """A second child, without lldb; False when none can be started."""
        try:
            core.child = start(self._job(core.task, core.folder, core.no_folder, False, core.why, seconds), None)
        except OSError:
            return False
        core.with_lldb = False
        return True

    def _failure(self, core: _Core, end: End) -> Wire:
        error: DumpwalkError
        path = core.task.path
        if end.timed_out or time.monotonic() - core.started >= self._timeout - self._tidying:
            after = f" ({core.why})" if core.why else ""
            error = TimedOut(f"{path}: no result within {self._told:g} seconds{after}.")
        elif core.with_lldb:
            error = DebuggerFailed(f"{path}: {core.why}, and no second child could be started.")
        elif core.why:
            error = DebuggerFailed(
                f'{path}: {core.why}, and the one without lldb {end.problem} in the phase "{end.phase}".'
            )
        else:
            error = Unreadable(f'{path}: the work on it {end.problem} in the phase "{end.phase}".')
        return _failed(path, error)


def _failed(path: str, error: DumpwalkError) -> Wire:
    return {"path": path, "error": error.sentence(), "exit_code": error.exit_code, "error_kind": error.kind}


def _absolute(path: str) -> str:
    """For a child that runs elsewhere; as it is where the current folder has been removed."""
    try:
        return os.path.abspath(path)
    except OSError:
        return path


def processors() -> int:
    """That this process may use."""
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


def split(outcomes: Sequence[Entry]) -> Tuple[List[Report], List[FailedCore]]:
    reports = [o for o in outcomes if isinstance(o, Report)]
    return reports, [o for o in outcomes if isinstance(o, FailedCore)]
