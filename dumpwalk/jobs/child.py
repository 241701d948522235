"""The parent's side of one child: start it, read its messages, know how it ended, never leave it behind.

The messages are worker.py's. A report is taken as soon as its line is whole: what lldb does afterwards, crashing while it
tears itself down for one, costs nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.debugger.discovery import Discovery
from dumpwalk.jobs import memory_bound
from dumpwalk.jobs.job import Job

_BLOCK = 1 << 20
_NO_LLDB = Discovery(None, None, sys.executable, None, None, "not needed", in_process=True)
_WRITER = 3
"""The pipe's number in a child that is started as a program."""
_REAP_SECONDS = 5.0
"""A killed child that is still there after this long hangs in the kernel (a dead network disk); it is left to it."""
_MUCH_MEMORY = 2 << 30
_START = (
    "import sys; sys.path[:] = [p for p in sys.path if p];"  # -c puts the current folder first
    " from {module} import main; main()"
)


@dataclass
class End:
    """How a child ended: with a report, with an error for the person, or with a problem of its own."""

    phase: str
    report: Optional[Dict[str, Any]] = None
    error: Optional[Dict[str, Any]] = None
    problem: str = ""
    """Continues "the analysis ...": `crashed (SIGSEGV)`."""
    timed_out: bool = False


class Child:
    """A running child. `reader` is for select; `deadline` is in time.monotonic()'s seconds."""

    def __init__(self, pid: int, reader: int, seconds: float, memory: int) -> None:
        self.pid = pid
        self.reader = reader
        self.seconds = seconds
        self._memory = memory
        self.deadline = time.monotonic() + seconds
        self.phase = "starting"
        self.begun: List[str] = []
        """Phases that began and were not yet told to anyone; whoever tells them takes them out."""
        self._pending: List[bytes] = []
        self._failure = ""
        self._end: Optional[End] = None
        self._gone = False
        self._peak = 0
        """Bytes of memory that it had at most."""

    def step(self, readable: bool) -> Optional[End]:
        """Take what there is to read; how the child ended, or None while it works. One that ended is killed; `kill` waits until
        it is gone, which takes some 10 ms where lldb has much memory."""
        if readable:
            data = os.read(self.reader, _BLOCK)
            if not data:
                return self._finish(self._ended_by_itself())
            self._take(data)
            if self._end is not None:
                return self._finish(self._end)
        if time.monotonic() >= self.deadline:
            return self._finish(
                End(self.phase, problem=f"did not finish within {self.seconds:.3g} seconds", timed_out=True)
            )
        own = memory_bound.used(self.pid)
        if own is not None and own > self._memory:
            return self._finish(End(self.phase, problem=f"took more than its {self._memory >> 20:,} MiB of memory"))
        return None

    def kill(self) -> None:
        """End it for certain, and release what belongs to it. May be called again."""
        self._end_it()
        if not self._gone:
            self._gone = True  # one that hangs in the kernel is waited for once
            self._reap()

    def _end_it(self) -> None:
        if self.reader < 0:
            return
        os.close(self.reader)
        self.reader = -1
        if not self._gone:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def _take(self, data: bytes) -> None:
        *whole, rest = data.split(b"\n")
        if whole:
            first = b"".join([*self._pending, whole[0]])
            self._pending = []
            for line in [first, *whole[1:]]:
                self._message(chr(line[0]) if line else "", line[1:])
        self._pending.append(rest)

    def _message(self, kind: str, payload: bytes) -> None:
        if kind == "p":
            self.phase = payload.decode("utf-8", "replace")
            self.begun.append(self.phase)
        elif kind == "f":
            self._failure = payload.decode("utf-8", "replace")
        elif kind in ("r", "e"):
            try:
                answer = json.loads(payload)
            except ValueError:
                self._failure = "sent an answer that cannot be read"
                return
            self._end = End(self.phase, answer) if kind == "r" else End(self.phase, None, answer)

    def _finish(self, end: End) -> End:
        self._end_it()
        return end

    def _ended_by_itself(self) -> End:
        status = self._reap()
        if self._failure:
            return End(self.phase, problem=self._failure)
        if status is None:
            return End(self.phase, problem="stopped talking")
        if os.WIFSIGNALED(status):
            return End(self.phase, problem=_crashed(os.WTERMSIG(status), self._peak))
        return End(self.phase, problem=f"ended without a word (status {os.WEXITSTATUS(status)})")

    def _reap(self) -> Optional[int]:
        """The wait status; None when it cannot be had in time."""
        end = time.monotonic() + _REAP_SECONDS
        pause = 0.0005
        while time.monotonic() < end:
            try:
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._gone = True
                return None
            if pid:
                self._gone = True
                self._peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                return status
            time.sleep(pause)
            pause = min(
                pause * 1.2, 0.05
            )  # taking lldb's memory down takes some 10 ms: twice as long a sleep would double it
        return None


def start(job: Job, discovery: Optional[Discovery]) -> Child:
    """A child at work. `discovery` says where lldb is; None for work without it.

    Forked where that is safe: lldb belongs to this Python, and no other thread of this process could hold a lock that the
    child then waits for (Apple's libraries do not survive a fork at all). Else started as a program.
    """
    reader, writer = _pipe()
    try:
        if sys.platform == "darwin" or _threads() > 1 or (discovery is not None and not discovery.in_process):
            pid = _spawn(job, discovery, writer)
        else:
            pid = _fork(job, discovery, reader, writer)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return Child(pid, reader, job.seconds, job.memory)


def _pipe() -> Tuple[int, int]:
    """A pipe with numbers above the standard streams', which a caller may have closed, and of no use to other children."""
    reader, writer = os.pipe()
    return _above(reader), _above(writer)


def _above(descriptor: int) -> int:
    """The same open file under a higher number."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _WRITER + 1)
    finally:
        os.close(descriptor)


def _threads() -> int:
    """Threads of this process, those that Python did not start too."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def _fork(job: Job, discovery: Optional[Discovery], reader: int, writer: int) -> int:
    """No signal is handled between the fork and the child's own settings: a handler would unwind the parent's stack."""
    from dumpwalk.jobs import worker

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                pass  # full or closed: whoever writes next is told
    held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            worker.run(job, writer, discovery)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    return pid


def _spawn(job: Job, discovery: Optional[Discovery], writer: int) -> int:
    """A child under an interpreter of its own, its job in the environment."""
    from dumpwalk.debugger.other_python import command_for
    from dumpwalk.debugger.own_folders import dependency_dirs
    from dumpwalk.jobs import worker

    argv, environment = command_for(discovery or _NO_LLDB)
    if discovery is None or discovery.in_process:  # this Python's own path may have been put together by its program
        environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], *dependency_dirs()])
    if discovery is not None and discovery.embedded:  # python -m dumpwalk.debugger.inside_lldb LLDB, which becomes lldb
        argv = [
            argv[0],
            "-c",
            _START.format(module="dumpwalk.debugger.inside_lldb"),
            *argv[3:],
            "-m",
            "dumpwalk.jobs.worker",
        ]
    else:
        argv = [*argv, "-c", _START.format(module="dumpwalk.jobs.worker")]
    environment[worker.JOB_VARIABLE] = json.dumps({**job._asdict(), "writer": _WRITER})
    null = _above(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, stream) for stream in (0, 1, 2)]
        actions.append((os.POSIX_SPAWN_DUP2, writer, _WRITER))
        return os.posix_spawn(argv[0], argv, environment, file_actions=actions)
    finally:
        os.close(null)


def _crashed(number: int, peak: int) -> str:
    """`crashed (SIGABRT)`, and with how much memory where that may be the reason: C++ aborts when it gets no more."""
    size = f" with {peak >> 30} GiB of memory in use" if peak >= _MUCH_MEMORY else ""
    return f"crashed ({_signal_name(number)}){size}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
