"""Runs the analysis of each core in a child process, so that a crash or hang of lldb is a sentence and not the end.

The child is forked when this Python can import lldb, else it is started under the Python that can (or inside lldb itself).
It tells its phase as it goes and sends the report as JSON over a pipe. When it dies, hangs or grows too big, a second child
analyses the file without lldb: everything that memory proves is still reported, and coverage says what happened. No child
outlives the parent: it is killed by the kernel when the parent dies, and by a watcher thread where the kernel cannot.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, Tuple, Union

from dumpwalk import limits
from dumpwalk.analysis.engine import Options, analyze_core
from dumpwalk.core.debugger_discovery import Discovery, discover, import_lldb
from dumpwalk.errors import DebuggerFailed, DumpwalkError, NoLldb, TimedOut
from dumpwalk.report.json_format import from_dict, to_dict
from dumpwalk.report.model import FailedCore, Report

Outcome = Union[Report, FailedCore]
Progress = Callable[[str, str], None]
"""Called with the core's path and the phase."""

_LLDB_SHARE = 0.7
"""Share of the time that the child with lldb may use; the rest is for the child without."""
JOB_VARIABLE = "DUMPWALK_JOB"


@dataclass
class _End:
    """How a child ended: its report or error, else why there is none."""

    result: Optional[Dict[str, Any]]
    phase: str
    problem: str = ""
    timed_out: bool = False


def analyze_all(
    paths: Sequence[str], options: Options, timeout: float, progress: Progress = lambda path, phase: None
) -> List[Outcome]:
    """The outcome of each core, in the order given; some run side by side. Raises NoLldb when there is no lldb at all."""
    discovery = discover()
    if not discovery.usable:
        raise NoLldb(discovery.problem or "no usable lldb was found.")
    if len(paths) == 1:
        return [analyze_one(paths[0], options, timeout, discovery, progress)]
    outcomes: List[Optional[Outcome]] = [None] * len(paths)
    waiting = list(range(len(paths)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                position = waiting.pop(0)
            outcomes[position] = analyze_one(paths[position], options, timeout, discovery, progress)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(len(paths), os.cpu_count() or 1, 4))]
    for worker in workers:
        worker.start()
    for worker in workers:
        while worker.is_alive():
            worker.join(0.2)
    return [o for o in outcomes if o is not None]


def analyze_one(
    path: str, options: Options, timeout: float, discovery: Discovery, progress: Progress = lambda path, phase: None
) -> Outcome:
    """One core in a child with lldb; in a child without it when that one fails."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dumpwalk-") as temp_dir:
        end = _run(path, options, temp_dir, discovery, timeout * _LLDB_SHARE, progress)
        if end.result is not None:
            return _outcome(path, end.result)
        why = f"lldb {end.problem} while {end.phase}"
        left = timeout - (time.monotonic() - started)
        second = _run(path, options, temp_dir, None, max(left, 1.0), progress, why)
    if second.result is not None and "error" not in second.result:
        return _outcome(path, second.result)
    if second.result is not None:
        return _outcome(path, second.result)
    error: DumpwalkError = DebuggerFailed(
        f"{path}: {why}, and the analysis without lldb {second.problem} while {second.phase}."
    )
    if second.timed_out:
        error = TimedOut(f"{path}: no result within {timeout:g} seconds ({why}).")
    return FailedCore(path, error.sentence(), error.exit_code, error.kind)


def _outcome(path: str, result: Dict[str, Any]) -> Outcome:
    if "error" in result and "schema_version" not in result:
        return FailedCore(path, result["error"], result["exit_code"], result["error_kind"])
    return from_dict(result)


def _run(
    path: str,
    options: Options,
    temp_dir: str,
    discovery: Optional[Discovery],
    seconds: float,
    progress: Progress,
    why: str = "",
) -> _End:
    """One child to its end. `discovery` None: without lldb."""
    reader, writer = os.pipe()
    if discovery is not None and not discovery.in_process:
        pid = _spawn(path, options, temp_dir, discovery, writer)
    else:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _child(path, options, temp_dir, writer, discovery is not None, why, parent, discovery)
    os.close(writer)
    return _collect(path, pid, reader, seconds, progress)


def _collect(path: str, pid: int, reader: int, seconds: float, progress: Progress) -> _End:
    deadline = time.monotonic() + seconds
    chunks: List[bytes] = []
    phase = "starting"
    timed_out = False
    try:
        while True:
            left = deadline - time.monotonic()
            ready = select.select([reader], [], [], max(0.0, min(left, 0.5)))[0]
            if ready:
                data = os.read(reader, 1 << 20)
                if not data:
                    break
                chunks.append(data)
                if data.startswith(b"p") and len(data) < 4096:
                    phase = _last_phase(data, phase)
                    progress(path, phase)
            elif left <= 0:
                timed_out = True
                break
        if timed_out:
            _kill(pid)
    except BaseException:
        _kill(pid)
        raise
    finally:
        os.close(reader)
    _, status = os.waitpid(pid, 0)
    lines = b"".join(chunks).split(b"\n")
    for line in lines:
        if line.startswith(b"p"):
            phase = line[1:].decode("utf-8", "replace")
    answer = next((line[1:] for line in lines if line.startswith(b"r")), None)
    if answer is not None and not timed_out and os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        try:
            return _End(json.loads(answer), phase)
        except ValueError:
            return _End(None, phase, "sent an answer that cannot be read")
    if timed_out:
        return _End(None, phase, f"did not finish within {seconds:g} seconds", True)
    if os.WIFSIGNALED(status):
        return _End(None, phase, f"crashed ({_signal_name(os.WTERMSIG(status))})")
    return _End(None, phase, f"ended with status {os.WEXITSTATUS(status)}")


def _last_phase(data: bytes, phase: str) -> str:
    lines = [line for line in data.split(b"\n") if line.startswith(b"p")]
    return lines[-1][1:].decode("utf-8", "replace") if lines else phase


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _spawn(path: str, options: Options, temp_dir: str, discovery: Discovery, writer: int) -> int:
    """A child under another interpreter: python -m dumpwalk.isolation, its job in the environment."""
    from dumpwalk.core.interpreter import command_for

    argv, environment = command_for(discovery)
    job = {"path": os.path.abspath(path), "shown": path, "modules": list(options.modules), "sha256": options.sha256,
           "temp_dir": temp_dir, "writer": writer, "parent": os.getpid()}  # fmt: skip
    environment[JOB_VARIABLE] = json.dumps(job)
    os.set_inheritable(writer, True)
    null = os.open(os.devnull, os.O_RDWR)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
        return os.posix_spawn(argv[0], [*argv, "-m", "dumpwalk.isolation"], environment, file_actions=actions)
    finally:
        os.close(null)


def _child(
    path: str,
    options: Options,
    temp_dir: str,
    writer: int,
    with_lldb: bool,
    why: str,
    parent: int,
    discovery: Optional[Discovery],
    shown: Optional[str] = None,
) -> NoReturn:
    """In the child: analyse, send, leave by os._exit so that nothing of the parent's runs twice."""
    code = 1
    try:
        _die_with(parent)
        _bound_memory()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        code = _work(path, options, temp_dir, writer, with_lldb, why, discovery, shown)
    except BaseException as error:
        if not isinstance(error, (KeyboardInterrupt, SystemExit)):
            _send(writer, b"p" + f"{type(error).__name__}: {error}".replace("\n", " ").encode("utf-8", "replace")[:300])
    finally:
        os._exit(code)


def _work(
    path: str,
    options: Options,
    temp_dir: str,
    writer: int,
    with_lldb: bool,
    why: str,
    discovery: Optional[Discovery],
    shown: Optional[str],
) -> int:
    def progress(phase: str) -> None:
        _send(writer, b"p" + phase.encode())

    try:
        lldb = None
        if with_lldb:
            progress("loading lldb")
            os.environ.pop("DEBUGINFOD_URLS", None)
            lldb = import_lldb(discovery)
        report = analyze_core(path, options, lldb, temp_dir, progress, why)
        answer = to_dict(report)
        if shown is not None:
            answer["dump"]["path"] = shown
    except DumpwalkError as error:
        if with_lldb and isinstance(error, DebuggerFailed):
            _send(writer, b"p" + b"refusing the core")
            return 3
        answer = {"error": error.sentence(), "exit_code": error.exit_code, "error_kind": error.kind}
    _send(writer, b"r" + json.dumps(answer, separators=(",", ":")).encode())
    return 0


def _send(writer: int, line: bytes) -> None:
    data = line.replace(b"\n", b" ") + b"\n"
    while data:
        data = data[os.write(writer, data) :]


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when the parent ends (prctl on Linux); a watcher thread elsewhere."""
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, linux/prctl.h
    else:

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(0.5)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _bound_memory() -> None:
    """Private memory (not file mappings) is bounded, so that a blow-up ends this child and nothing else."""
    import resource

    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        bound = int(total * limits.CHILD_MEMORY_FRACTION)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):
        pass  # a system without these limits: the time limit still holds


def main() -> NoReturn:
    """The child's side when it runs under another interpreter."""
    job = json.loads(os.environ.pop(JOB_VARIABLE))
    options = Options(modules=tuple(job["modules"]), sha256=job["sha256"])
    _child(job["path"], options, job["temp_dir"], job["writer"], True, "", job["parent"], None, job["shown"])


def split(outcomes: Sequence[Outcome]) -> Tuple[List[Report], List[FailedCore]]:
    reports = [o for o in outcomes if isinstance(o, Report)]
    return reports, [o for o in outcomes if isinstance(o, FailedCore)]


if __name__ == "__main__":
    main()
