"""The child's side of isolation.py: analyse one core, tell each phase, send the report, leave.

Messages are lines on a pipe, a letter and its payload: `p` the phase that begins, `r` the report as JSON (the last word),
`e` an error that the person can act on as JSON, `f` what failed, as words that continue "the analysis".
The child never touches the parent's standard streams, ignores Ctrl-C (the parent kills it) and dies with its parent.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from typing import Any, Dict, NamedTuple, NoReturn, Optional

from dumpwalk import limits
from dumpwalk.analysis.budget import end_phases_after
from dumpwalk.debugger.discovery import Discovery, import_lldb
from dumpwalk.debugger.other_python import package_parent
from dumpwalk.engine.run import Options, analyze_core
from dumpwalk.errors import DebuggerFailed, DumpwalkError
from dumpwalk.report.json_format import to_wire

JOB_VARIABLE = "DUMPWALK_JOB"
_WORDS = 300
"""Characters of an error of our own that are passed on."""


class Job(NamedTuple):
    """One core for one child."""

    path: str
    """As the person named it; it stands in the report."""
    file: str
    """Absolute: the child may run elsewhere."""
    modules: tuple
    sha256: bool
    temp_dir: str
    parent: int
    with_lldb: bool
    why_bare: str
    """Without lldb: what happened to it, for the report's coverage."""
    seconds: float
    """Until the parent kills this child."""
    side_by_side: int
    """Children that share the machine's memory."""


def run(job: Job, writer: int, discovery: Optional[Discovery]) -> NoReturn:
    """In the child: analyse, send, and leave by os._exit so that nothing of the parent's is run twice."""
    try:
        _prepare(job)
        _work(job, writer, discovery)
    except MemoryError:
        _send(writer, "f", "ran out of memory")
    except BaseException as error:  # every way out of this process is a message to the parent
        words = " ".join(f"{type(error).__name__}: {error}".split())[:_WORDS]
        _send(writer, "f", f"failed inside dumpwalk ({words})")
    finally:
        os._exit(0)


def _prepare(job: Job) -> None:
    gc.disable()  # 250,000 frames that all stay: looking through them for garbage was a quarter of the time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _die_with(job.parent)
    os.umask(0o077)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    _forget_current_folder()
    os.environ.pop("DEBUGINFOD_URLS", None)


def _work(job: Job, writer: int, discovery: Optional[Discovery]) -> None:
    def progress(phase: str) -> None:
        _send(writer, "p", phase)
        _bound_memory(job)

    try:
        lldb = None
        if job.with_lldb:
            progress("loading lldb")
            lldb = import_lldb(discovery)
            _forget_current_folder()
        else:
            end_phases_after(job.seconds * limits.PHASES_SHARE)
        options = Options(modules=tuple(job.modules), sha256=job.sha256)
        report = analyze_core(job.file, options, lldb, job.temp_dir, progress, job.why_bare, close=False)
        answer = to_wire(report)
        answer["report"]["dump"]["path"] = job.path
    except DebuggerFailed as error:
        _send(writer, "f", f"was refused: {str(error).rstrip('.')}")
        return
    except DumpwalkError as error:
        sentence = error.sentence().replace(job.file, job.path)
        answer = {"error": sentence, "exit_code": error.exit_code, "error_kind": error.kind}
        _send(writer, "e", json.dumps(answer))
        return
    _send(writer, "r", json.dumps(answer, separators=(",", ":")))


def _send(writer: int, kind: str, payload: str) -> None:
    data = (kind + payload.replace("\n", " ") + "\n").encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(writer, data) :]
    except OSError:
        os._exit(1)  # the parent is gone or has lost interest


def _forget_current_folder() -> None:
    """No module is ever imported from the current folder, where a dump's hostile neighbours may lie.

    `python -m` puts it first, and lldb appends "." when its Python starts (ScriptInterpreterPython.cpp).
    """
    here = os.getcwd() if os.path.isdir(os.curdir) else None
    keep = package_parent()
    sys.path[:] = [p for p in sys.path if p == keep or (p not in ("", ".") and p != here)]


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


def _bound_memory(job: Job) -> None:
    """Bound private memory, so that a blow-up ends this child and nothing else. A soft limit: it grows with the core.

    lldb maps a core privately and writable, which the kernel counts as data although no page of it may ever be touched:
    the core's size is added. Called again when the core may have been decompressed.
    """
    import resource

    sizes = [0]
    for file in (job.file, os.path.join(job.temp_dir, "core")):
        try:
            sizes.append(os.stat(file).st_size)
        except OSError:
            continue
    bound = memory_share(job.side_by_side) + max(sizes)
    try:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):
        pass  # a system without these limits: the time limit still holds


def memory_share(side_by_side: int) -> int:
    """Bytes that one of so many children may take: of the machine's memory, or of the control group's where it is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(file, encoding="ascii") as stream:
                total = min(total, int(stream.read()))
        except (OSError, ValueError):
            continue  # no control group, or "max"
    return int(total * limits.CHILD_MEMORY_FRACTION / max(1, side_by_side))


def main() -> NoReturn:
    """The child's side when it was started as a program: under another interpreter, or inside lldb."""
    told: Dict[str, Any] = json.loads(os.environ.pop(JOB_VARIABLE))
    writer = told.pop("writer")
    run(Job(**told), writer, None)


if __name__ == "__main__":
    main()
