"""Which Python an lldb belongs to, whether that Python can run dumpwalk, and the command that makes it do so.

All of it runs programs, so discovery comes here only where no lldb fits the interpreter by its file name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.debugger.found_lldb import LIBRARY_VARIABLE, MODULE_VARIABLE, Discovery
from dumpwalk.debugger.own_folders import dependency_dirs, package_parent

WORKER_NEEDS = ("elftools", "networkx")
"""What the analysing process imports; the command line's own packages stay with the Python it was started with."""

ANSWER_SECONDS = 20.0
"""An lldb that does not tell its Python in this time is passed over; it takes 0.1 s (Xcode's first start: several)."""

_PROBE = """
import sys
sys.path[:] = [p for p in sys.path if p]  # the current folder may be anyone's
import importlib, json
path, library, extra, wanted = json.loads(sys.argv[1])
sys.path[:0] = [path]
if library:
    from importlib.machinery import ExtensionFileLoader
    from importlib.util import module_from_spec, spec_from_file_location
    spec = spec_from_file_location("_lldb", library, loader=ExtensionFileLoader("_lldb", library))
    sys.modules["_lldb"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["_lldb"])
import lldb
sys.path[:] = [p for p in sys.path if p != "."]  # lldb appends it
version = lldb.SBDebugger.GetVersionString().split("\\n")[0]
sys.path[:0] = extra
lacks = None
if sys.version_info < (3, 9):
    lacks = "it is Python %d.%d, and dumpwalk needs 3.9 or later" % sys.version_info[:2]
else:
    for name in wanted:
        try:
            importlib.import_module(name)
        except Exception as error:
            lacks = "importing %s fails with %s: %s" % (name, type(error).__name__, error)
            break
print(json.dumps({"version": version, "python": list(sys.version_info[:2]), "lacks": lacks}))
"""


@dataclass(frozen=True)
class LldbAnswer:
    """What an lldb program says of its Python; `executable` None means that only the one inside it will do."""

    executable: Optional[str]
    pythonpath: Optional[str]
    why: str = ""


@dataclass(frozen=True)
class Probe:
    """The result of importing lldb, then dumpwalk's dependencies, in a Python of its own."""

    ok: bool
    version: Optional[str] = None
    python_version: Optional[Tuple[int, int]] = None
    lacks: Optional[str] = None
    """Why that Python can load lldb but not run dumpwalk."""
    why: str = ""


def run_quietly(
    argv: Sequence[str], environ: Mapping[str, str], folder: Optional[str] = None, until: Optional[float] = None
) -> Optional[subprocess.CompletedProcess[str]]:
    """Run a program without input, in `folder` where one is given.

    None where it cannot be started or does not end in ANSWER_SECONDS, or by `until` (of time.monotonic).
    """
    seconds = ANSWER_SECONDS if until is None else min(ANSWER_SECONDS, max(0.0, until - time.monotonic()))
    env = {k: v for k, v in environ.items() if k not in ("DEBUGINFOD_URLS", "PYTHONHOME", "__PYVENV_LAUNCHER__")}
    try:
        return subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=env,
            cwd=folder,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else ""


def package_dirs(binary: str) -> List[str]:
    """The folders beside an lldb program that hold an `lldb` package, those of a particular Python first."""
    lib = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(binary))), "lib")
    try:
        pythons = sorted((n for n in os.listdir(lib) if n.startswith("python3")), reverse=True)
    except OSError:
        pythons = []
    found = [os.path.join(lib, p, kind) for p in pythons for kind in ("site-packages", "dist-packages")]
    return [d for d in found if _holds_lldb(d)]


def _holds_lldb(directory: str) -> bool:
    return os.path.isfile(os.path.join(directory, "lldb", "__init__.py"))


def _package_dir(directory: Optional[str], binary: str) -> Optional[str]:
    """`directory` if the package is there, else the first of lldb's own library folders that has it.

    lldb 14 of Debian names a folder that does not exist (llvm-project issue 55575).
    """
    if directory and _holds_lldb(directory):
        return directory
    return next(iter(package_dirs(binary)), None)


def ask_lldb(binary: str, environ: Mapping[str, str], until: Optional[float] = None) -> LldbAnswer:
    """Ask an lldb program for its interpreter (`--print-script-interpreter-info`, lldb 14 and later; else `-P`)."""
    done = run_quietly([binary, "-x", "-l", "python", "--print-script-interpreter-info"], environ, until=until)
    if done is None:
        return LldbAnswer(None, None, "it could not be run or did not answer")
    info: Dict[str, object] = {}
    if done.returncode == 0:
        try:
            parsed = json.loads(done.stdout)
            info = parsed if isinstance(parsed, dict) else {}
        except ValueError:
            info = {}
    path = info.get("lldb-pythonpath")
    if not isinstance(path, str):
        older = run_quietly([binary, "-x", "-P"], environ, until=until)
        path = older.stdout.strip() if older is not None and older.returncode == 0 else None
    directory = _package_dir(path, binary)
    if directory is None:
        said = _last_line(done.stderr) or _last_line(done.stdout) or "nothing"
        why = f"it was built without Python or its Python package is not installed (it says {said!r})"
        return LldbAnswer(None, None, why)
    executable = info.get("executable")
    if isinstance(executable, str) and os.access(executable, os.X_OK):
        return LldbAnswer(executable, directory)
    return LldbAnswer(None, directory)


def probe(
    executable: str,
    pythonpath: str,
    library: Optional[str],
    environ: Mapping[str, str],
    until: Optional[float] = None,
) -> Probe:
    """Import lldb in a process of that Python, since the wrong one may abort; then what dumpwalk needs."""
    question = json.dumps([pythonpath, library, [package_parent(), *dependency_dirs()], WORKER_NEEDS])
    env = {k: v for k, v in environ.items() if k != "PYTHONPATH"}
    done = run_quietly([executable, "-c", _PROBE, question], env, until=until)
    if done is None:
        return Probe(False, why="it could not be run or did not end")
    if done.returncode != 0:
        return Probe(False, why=_last_line(done.stderr) or f"it ended with {done.returncode}")
    answer = json.loads(done.stdout)
    major, minor = answer["python"]
    version = str(answer["version"]).replace("lldb version ", "").split(" ")[0]
    lacks = answer["lacks"]
    if lacks:
        lacks += f" (install dumpwalk for it: {executable} -m venv ENV && ENV/bin/pip install dumpwalk)"
    return Probe(True, version, (major, minor), lacks)


def command_for(discovery: Discovery, environ: Optional[Mapping[str, str]] = None) -> Tuple[List[str], Dict[str, str]]:
    """The start of a command and its environment, so that `argv + ["-m", "dumpwalk", ...]` runs where lldb imports.

    Raises ValueError where the discovery found nothing usable: ask `discovery.problem` first.
    """
    if not discovery.usable:
        raise ValueError(discovery.problem)
    env = dict(os.environ if environ is None else environ)
    for name in ("DEBUGINFOD_URLS", MODULE_VARIABLE, LIBRARY_VARIABLE):
        env.pop(name, None)
    paths = [package_parent()]
    if discovery.in_process:
        argv = [sys.executable]
    else:
        paths += dependency_dirs()
        if discovery.pythonpath:
            paths.append(discovery.pythonpath)
        for name in ("PYTHONHOME", "__PYVENV_LAUNCHER__"):
            env.pop(name, None)
        if discovery.embedded:
            argv = [sys.executable, "-m", "dumpwalk.debugger.inside_lldb", str(discovery.lldb_binary)]
        else:
            argv = [str(discovery.python_executable)]
    if discovery.lldb_binary:
        env["DUMPWALK_LLDB"] = discovery.lldb_binary
    if discovery.pythonpath and not discovery.embedded:
        env[MODULE_VARIABLE] = discovery.pythonpath
        if discovery.library:
            env[LIBRARY_VARIABLE] = discovery.library
    paths += [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return argv, env
