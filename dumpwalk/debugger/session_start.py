"""How to start an lldb of this machine so that Python works in its session: found out by starting it.

Most need nothing but their name, which need not be `lldb` (the packages lldb-22 bring no `lldb`). Debian's lldb 14 looks
for its module in a folder that does not exist (llvm-project issue 55575) and answers every `script` line with
"NameError: name 'run_one_line' is not defined"; with the right folder in PYTHONPATH it works.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
from typing import Iterator, List, Mapping, Optional

from dumpwalk.dataclass import dataclass
from dumpwalk.debugger.discovery import Discovery
from dumpwalk.debugger.other_python import package_dirs, run_quietly
from dumpwalk.debugger.places import Places, candidates, on_path

_QUESTION = "script print('python', 'works', 'here', lldb.SBDebugger.GetVersionString().split()[2])"
_ANSWER = "python works here "


@dataclass(frozen=True)
class SessionStart:
    """One lldb program and the way to start it."""

    binary: str
    command: Optional[str]
    """What to type, quoted for a shell: `lldb-22`, or `PYTHONPATH=/usr/lib/... lldb`. None: its Python never works."""
    pythonpath: Optional[str] = None
    """The folders that its environment must name; None where it finds all by itself."""
    why: str = ""
    """What it says when it is started without them."""


def typed_name(binary: str, environ: Mapping[str, str]) -> str:
    """What a person types to run that very program: its name where PATH leads to it, else its path."""
    real = os.path.realpath(binary)
    for name in ("lldb", os.path.basename(binary)):
        found = on_path(name, environ)
        if found and os.path.realpath(found) == real:
            return name
    return shlex.quote(binary)


def session_start(binary: str, environ: Mapping[str, str]) -> SessionStart:
    """Start the program once as it is and, where its Python fails, once with each folder that may hold its module."""
    name = typed_name(binary, environ)
    why = _failure(binary, environ, None)
    if why is None:
        return SessionStart(binary, name)
    for folders in _pythonpaths(binary):
        if _failure(binary, environ, folders) is None:
            return SessionStart(binary, f"PYTHONPATH={shlex.quote(folders)} {name}", folders, why)
    return SessionStart(binary, None, None, why)


def session_starts(found: Discovery, environ: Mapping[str, str], places: Optional[Places] = None) -> List[SessionStart]:
    """For the lldb that dumpwalk uses, and for the one that a person gets by typing `lldb` where that is another."""
    every = list(candidates(environ, places or Places()))
    chosen = [found.lldb_binary] if found.lldb_binary else [c.binary for c in every[:1]]
    plain = on_path("lldb", environ)
    if plain and all(os.path.realpath(plain) != os.path.realpath(b) for b in chosen):
        chosen.append(plain)
    return [session_start(binary, environ) for binary in chosen]


def _failure(binary: str, environ: Mapping[str, str], pythonpath: Optional[str]) -> Optional[str]:
    """None where a session's Python works, else what it says."""
    env = dict(environ)
    if pythonpath is not None:
        rest = env.get("PYTHONPATH")
        env["PYTHONPATH"] = pythonpath + (os.pathsep + rest if rest else "")
    # elsewhere than in the current folder: the Python inside lldb imports what lies there
    done = run_quietly([os.path.abspath(binary), "--no-lldbinit", "-b", "-o", _QUESTION], env, folder=os.sep)
    if done is None:
        return "it could not be run or did not end"
    if _ANSWER in done.stdout:
        return None
    said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if "Error: " in line]
    named = [line for line in said if "run_one_line" in line]  # what every line meets with; the others tell of one
    return (named or said or ["it has no Python"])[0]


def _pythonpaths(binary: str) -> Iterator[str]:
    for folder in package_dirs(binary):
        yield folder
        six = importlib.util.find_spec("six")  # imported by lldb's module up to 15
        if six is not None and six.origin:
            yield os.pathsep.join([folder, os.path.dirname(six.origin)])
