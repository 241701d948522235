"""Finds the lldb of this machine and imports it: dumpwalk ships none and installs none.

Order: an lldb already loaded or importable here; else the lldb programs of debugger_places.py, best first, whose Python
module fits this interpreter by its file name; else each is asked which Python it belongs to and tried in a process of
its own (an import into the wrong Python can abort), which gives a plan to run dumpwalk under that Python instead.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from types import ModuleType
from typing import List, Mapping, Optional

from dumpwalk.debugger.found_lldb import LIBRARY_VARIABLE, MODULE_VARIABLE
from dumpwalk.debugger.found_lldb import Discovery as Discovery
from dumpwalk.debugger.places import (
    Candidate,
    Places,
    best_first,
    candidates,
    fits,
    library_of,
    major_of,
    module_dirs,
)
from dumpwalk.errors import NoLldb

INSTALL_LINUX = (
    "On Debian and Ubuntu: apt-get install lldb-22 python3-lldb-22 (or the newest lldb-NN that apt offers); "
    "on Fedora: dnf install lldb python3-lldb; elsewhere: your system's lldb and its Python module."
)
INSTALL_MACOS = "Install Apple's command line tools (xcode-select --install) or Homebrew's llvm (brew install llvm)."


def install_hint(platform: str = sys.platform) -> str:
    """What to install on this kind of system, in a sentence."""
    return INSTALL_MACOS if platform == "darwin" else INSTALL_LINUX


def _here(how: str, binary: Optional[str], version: Optional[str], path: str, library: Optional[str]) -> Discovery:
    return Discovery(
        lldb_binary=binary,
        version=version,
        python_executable=sys.executable or None,
        python_version=sys.version_info[:2],
        pythonpath=path,
        how=how,
        in_process=True,
        library=library,
    )


def _told(environ: Mapping[str, str]) -> Optional[Discovery]:
    """What needs no search: lldb is in this process, or the process that started this one said where it is."""
    loaded = sys.modules.get("lldb")
    if loaded is not None and hasattr(loaded, "SBDebugger"):
        folder = os.path.dirname(os.path.dirname(getattr(loaded, "__file__", None) or ""))
        return _here("loaded already", None, None, folder, None)
    path = environ.get(MODULE_VARIABLE)
    if path and os.path.isfile(os.path.join(path, "lldb", "__init__.py")):
        binary = environ.get("DUMPWALK_LLDB")
        return _here("told by the parent process", binary, None, path, environ.get(LIBRARY_VARIABLE))
    return None


def _importable(places: Places) -> Optional[Discovery]:
    """An `lldb` package on this interpreter's own path, if its extension module is there and fits.

    A folder without __init__.py would import as an empty package (Debian leaves such a one behind), so the import
    system's answer is not enough.
    """
    if not places.use_sys_path:
        return None
    for folder in sys.path:
        real = os.path.realpath(os.path.join(folder or os.curdir, "lldb"))
        if not os.path.isdir(real):
            continue
        major = major_of(real)
        fit = fits(os.path.dirname(real), major, places)
        if fit:
            return _here("importable", None, str(major) if major else None, fit.pythonpath, fit.library)
    return None


def _fitting(found: List[Candidate], places: Places) -> Optional[Discovery]:
    for candidate in found:
        for directory in module_dirs(candidate.binary):
            fit = fits(directory, candidate.major, places)
            if fit:
                version = str(candidate.major) if candidate.major else None
                return _here(candidate.how, candidate.binary, version, fit.pythonpath, fit.library)
    return None


def _xcrun_candidate(places: Places, environ: Mapping[str, str], found: List[Candidate]) -> List[Candidate]:
    from dumpwalk.debugger.other_python import run_quietly

    if not places.ask_xcrun or environ.get("DUMPWALK_LLDB"):
        return []
    done = run_quietly(["xcrun", "--find", "lldb"], environ)
    path = done.stdout.strip() if done is not None and done.returncode == 0 else ""
    if not path or any(os.path.realpath(c.binary) == os.path.realpath(path) for c in found):
        return []
    return [Candidate(path, None, "xcrun")]


def _asked(
    candidate: Candidate, environ: Mapping[str, str], places: Places, until: Optional[float] = None
) -> Discovery:
    """Ask the lldb program for its Python and try the import in a process of that Python."""
    from dumpwalk.debugger.other_python import ask_lldb, probe

    version = str(candidate.major) if candidate.major else None

    def failed(problem: str, path: Optional[str] = None, python: Optional[str] = None) -> Discovery:
        return Discovery(candidate.binary, version, python, None, path, candidate.how, problem)

    answer = ask_lldb(candidate.binary, environ, until)
    if answer.pythonpath is None:
        return failed(f"{candidate.binary} does not tell where its Python module is: {answer.why}.")
    if answer.executable is None:
        return Discovery(
            candidate.binary, version, None, None, answer.pythonpath, candidate.how, embedded=True, in_process=False
        )
    library = None
    result = probe(answer.executable, answer.pythonpath, None, environ, until)
    if not result.ok:
        library = library_of(answer.pythonpath, candidate.major, places)
        if library:
            result = probe(answer.executable, answer.pythonpath, library, environ, until)
    if not result.ok:
        return failed(
            f"{candidate.binary} belongs to {answer.executable}, which cannot load it: {result.why}.",
            answer.pythonpath,
            answer.executable,
        )
    same = os.path.realpath(answer.executable) == os.path.realpath(sys.executable or "")
    return Discovery(
        lldb_binary=candidate.binary,
        version=result.version or version,
        python_executable=answer.executable,
        python_version=result.python_version,
        pythonpath=answer.pythonpath,
        how=candidate.how,
        in_process=same and result.python_version == sys.version_info[:2],
        library=library,
        problem=result.lacks
        and f"{answer.executable}, the Python of {candidate.binary}, cannot run dumpwalk: {result.lacks}.",
    )


def discover(
    environ: Optional[Mapping[str, str]] = None, places: Optional[Places] = None, seconds: Optional[float] = None
) -> Discovery:
    """The lldb to use; never raises. With nothing usable, `problem` says so and what to install.

    The usual case costs file look-ups only; programs are run only where no lldb fits this interpreter, in that many seconds
    at most.
    """
    until = None if seconds is None else time.monotonic() + seconds
    environ = os.environ if environ is None else environ
    places = places or Places()
    wanted = environ.get("DUMPWALK_LLDB")
    told = _told(environ)
    if told:
        return told
    found = best_first(list(candidates(environ, places)))
    here = None if wanted else _importable(places)
    here = here or _fitting(found, places)
    if here:
        if here.lldb_binary is None:
            binary = next((c.binary for c in found if str(c.major) == here.version), None)
            here = Discovery(**{**here.__dict__, "lldb_binary": binary})
        return here
    found += _xcrun_candidate(places, environ, found)
    tried: List[Discovery] = []
    for candidate in found:
        if until is not None and time.monotonic() >= until:
            break
        asked = _asked(candidate, environ, places, until)
        if asked.usable:
            return Discovery(**{**asked.__dict__, "rejected": tuple(t.problem or "" for t in tried)})
        tried.append(asked)
    if not tried:
        what = f"DUMPWALK_LLDB names no program: {wanted}." if wanted else "No lldb was found on this machine."
        return Discovery(None, None, None, None, None, "not found", f"{what} {install_hint()}")
    first = tried[0]
    lacks_packages = first.python_version is not None  # lldb itself is all right, and the sentence says what to do
    problem = first.problem if lacks_packages else f"{first.problem} {install_hint()}"
    return Discovery(**{**first.__dict__, "problem": problem, "rejected": tuple(t.problem or "" for t in tried[1:])})


def import_lldb(discovery: Optional[Discovery] = None) -> ModuleType:
    """The `lldb` module, verified. Raises NoLldb with what to install, or with the Python to run under instead."""
    loaded = sys.modules.get("lldb")
    if loaded is not None and hasattr(loaded, "SBDebugger"):
        return loaded
    discovery = discovery or discover()
    if discovery.problem:
        raise NoLldb(discovery.problem)
    if not discovery.in_process or discovery.pythonpath is None:
        raise NoLldb(
            f"The lldb here ({discovery.lldb_binary}) belongs to another Python"
            f" ({discovery.python_executable or 'the one inside it'}), and dumpwalk was asked to load it into this one."
        )
    # A server named here is asked for every module, and one that never answers holds the load for minutes.
    os.environ.pop("DEBUGINFOD_URLS", None)
    for name in [n for n in sys.modules if n == "lldb" or n.startswith("lldb.")]:
        del sys.modules[name]  # what is left of an empty namespace package or a failed import
    sys.path.insert(0, discovery.pythonpath)
    try:
        if discovery.library and "_lldb" not in sys.modules:
            load_library(discovery.library)
        module = importlib.import_module("lldb")
    except ImportError as error:
        raise NoLldb(f"lldb in {discovery.pythonpath} cannot be imported: {error}. {install_hint()}") from error
    finally:
        sys.path.remove(discovery.pythonpath)
    if not hasattr(module, "SBDebugger"):
        raise NoLldb(f"The lldb in {discovery.pythonpath} is an empty package. {install_hint()}")
    return module


def load_library(library: str) -> None:
    """Load liblldb itself as the extension module `_lldb`, as `import lldb` then finds it by that name."""
    from importlib.machinery import ExtensionFileLoader

    spec = importlib.util.spec_from_file_location("_lldb", library, loader=ExtensionFileLoader("_lldb", library))
    if spec is None or spec.loader is None:
        raise ImportError(f"no loader for {library}")
    sys.modules["_lldb"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["_lldb"])
