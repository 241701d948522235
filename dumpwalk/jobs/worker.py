"""The child's side of isolation.py: do one job on one core, tell each phase, send the answer, leave.

Messages are lines on a pipe, a letter and its payload: `p` the phase that begins, `r` the answer as JSON (the last word),
`e` an error that the person can act on as JSON, `f` what failed, as words that continue "the analysis".
The child never touches the parent's standard streams, ignores Ctrl-C (the parent kills it) and dies with its parent.
"""

from __future__ import annotations

import errno
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
from typing import Any, Dict, NoReturn, Optional

from dumpwalk import limits
from dumpwalk.analysis.budget import Alarm
from dumpwalk.debugger.discovery import Discovery, import_lldb
from dumpwalk.debugger.open import opened
from dumpwalk.debugger.own_folders import package_parent
from dumpwalk.engine.run import Options, analyze_core
from dumpwalk.errors import DebuggerFailed, DumpwalkError
from dumpwalk.evidence.wanted import Wanted
from dumpwalk.jobs import memory_bound
from dumpwalk.jobs.job import Job
from dumpwalk.report.json_format import to_wire

JOB_VARIABLE = "DUMPWALK_JOB"
_WORDS = 300
"""Characters of an error of our own that are passed on."""


def run(job: Job, writer: int, discovery: Optional[Discovery]) -> NoReturn:
    """In the child: do the job, send, and leave by os._exit so that nothing of the parent's is run twice."""
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
    if null > 2:
        os.close(null)
    _forget_current_folder()
    os.environ.pop("DEBUGINFOD_URLS", None)


def _work(job: Job, writer: int, discovery: Optional[Discovery]) -> None:
    def progress(phase: str) -> None:
        _send(writer, "p", phase)
        memory_bound.bound_data(job.memory, _mapped(job))

    try:
        lldb = alarm = None
        if job.with_lldb:
            progress("loading lldb")
            lldb = import_lldb(discovery)
            _forget_current_folder()
        else:
            progress("starting")
            alarm = Alarm(job.seconds * limits.PHASES_SHARE)
        answer = _look(job, lldb, progress) if job.look else _report(job, lldb, progress, alarm)
    except DebuggerFailed as error:
        _send(writer, "f", f"was refused: {str(error).rstrip('.')}")
        return
    except DumpwalkError as error:
        sentence = error.sentence().replace(job.file, job.path)
        answer = {"error": sentence, "exit_code": error.exit_code, "error_kind": error.kind}
        _send(writer, "e", json.dumps(answer))
        return
    _send(writer, "r", json.dumps(answer, separators=(",", ":")))


def _report(job: Job, lldb: Optional[Any], progress: Any, alarm: Optional[Alarm]) -> Dict[str, Any]:
    for one in job.evidence:  # what a child before this one left
        if os.path.lexists(one[0]):
            os.unlink(one[0])
    options = Options(
        modules=tuple(job.modules),
        sha256=job.sha256,
        debug_files=job.debug_files,
        held_by=tuple(job.held_by),
        evidence=tuple(Wanted(*one) for one in job.evidence),
        wants=tuple(job.wants),
    )
    seconds = job.seconds * limits.SEARCH_SHARE
    if job.pid:
        from dumpwalk.engine.live_run import analyze_live

        report = analyze_live(job.pid, options, lldb, _temp_dir(job), progress, job.why_bare, seconds, alarm)
    else:
        report = analyze_core(job.file, options, lldb, _temp_dir(job), progress, job.why_bare, False, seconds, alarm)
    answer = to_wire(report)
    answer["report"]["dump"]["path"] = job.path
    return answer


def _look(job: Job, lldb: Optional[Any], progress: Any) -> Dict[str, Any]:
    module, _, name = job.look.partition(":")
    look = getattr(importlib.import_module(module), name)
    seconds = job.seconds * limits.SEARCH_SHARE
    with opened(job.file, job.modules, lldb, _temp_dir(job), progress, job.why_bare, True, seconds) as process:
        progress("looking")
        return {"answer": look(process, job.arguments)}


def _temp_dir(job: Job) -> Any:
    def folder() -> str:
        if not job.temp_dir:
            raise OSError(errno.ENOENT, f"no temporary folder: {job.no_temp_dir}")
        return job.temp_dir

    return folder


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
    try:
        here = os.getcwd()
    except OSError:
        here = None
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


def _mapped(job: Job) -> int:
    """Bytes that lldb maps of the core; dumpwalk's own mapping is a shared one and counts for nothing. Asked again and
    again, since the core may be decompressed only now."""
    if not job.with_lldb:
        return 0
    sizes = [0]
    for file in (job.file, os.path.join(job.temp_dir, "core") if job.temp_dir else ""):
        try:
            sizes.append(os.stat(file).st_size)
        except OSError:
            continue
    return max(sizes)


def main() -> NoReturn:
    """The child's side when it was started as a program: under another interpreter, or inside lldb."""
    told: Dict[str, Any] = json.loads(os.environ.pop(JOB_VARIABLE))
    writer = told.pop("writer")
    run(Job(**told), writer, None)


if __name__ == "__main__":
    main()
