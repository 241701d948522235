"""Runs the real lldb in batch with the dumpwalk command, as `lldb -b` does in a script, and a scripted session in it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from tests.conftest import ROOT

QUIET = ("settings set symbols.enable-external-lookup false",)
"""No look-ups of symbols anywhere else: they make no difference to these tests but seconds."""


class Batch(NamedTuple):
    code: int
    output: str
    errors: str


@functools.cache
def lldb_program() -> str:
    """The lldb that dumpwalk itself would use."""
    from dumpwalk.debugger.discovery import discover

    found = discover()
    assert found.lldb_binary, found.problem or "an lldb module without its program"
    return found.lldb_binary


@functools.cache
def init_line() -> str:
    """What `dumpwalk lldb-init` prints for the installation under test."""
    argv = [sys.executable, "-m", "dumpwalk", "lldb-init"]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1, done.stdout
    return done.stdout.rstrip("\n")


def clean_environment() -> Dict[str, str]:
    """Ours without what would show lldb's Python the way to packages by itself."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DEBUGINFOD_URLS", "VIRTUAL_ENV")}


@functools.cache
def settings_for(name: str) -> Sequence[str]:
    """What an engineer sets before loading a core whose files are not at their recorded paths: the folders that hold them."""
    from fixtures import packages
    from tests.real_cores import CORES, package_of

    key = package_of(name)
    if key is not None:
        folders = sorted({p.parent for p in packages.fetch(key).rglob("*") if p.suffix == ".so" or p.name == "dotnet"})
    else:
        folders = [CORES / "bin"] if name.startswith("native-") else []
    return [f"settings set target.exec-search-paths {' '.join(map(str, folders))}"] if folders else []


def batch(commands: Sequence[str], line: str = "", more: Sequence[str] = ()) -> Batch:
    """`lldb -b -o COMMAND...` with the line of `dumpwalk lldb-init` first. No line at all: pass line=None's stand-in `-`."""
    first: List[str] = [] if line == "-" else [line or init_line()]
    argv = [lldb_program(), "--no-lldbinit", "-b", *more]
    for command in (*QUIET, *first, *commands):
        argv += ["-o", command]
    done = subprocess.run(
        argv, cwd=ROOT, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return Batch(done.returncode, done.stdout, done.stderr)


def load(core: Path) -> str:
    return f'target create --core "{core}"'


class Answer(NamedTuple):
    line: str
    output: str


def answers(core: Path, lines: Sequence[str], before: Sequence[str] = ()) -> List[Answer]:
    """What lldb prints after each line, pasted one by one into a session on a core. Fails where lldb refuses a line."""
    done = batch([*before, load(core), "script print('=' * 20)", *lines])
    assert done.code == 0, done.errors
    pieces = done.output.split("(lldb) ")
    pieces = pieces[next(i for i, p in enumerate(pieces) if "\n====" in p) + 1 :]
    found = [Answer(line, piece[len(line) :]) for line, piece in zip(lines, pieces) if piece.startswith(line)]
    assert len(found) == len(lines), done.output
    return found
