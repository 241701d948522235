"""Shared by all tests: where things are, and committed cores unpacked once for a whole run."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORES = ROOT / "fixtures" / "cores"
UNPACKED = ROOT / "build" / "test-cores"

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # for `fixtures` and `tests`, which are not installed

from tests.skips import pytest_make_collect_report, pytest_runtest_makereport  # noqa: E402, F401  (hooks)

# Started by nohup or as a background job: what tests start and interrupt would ignore the signals too. A handler is not
# inherited by a program that is started; the tests themselves go on ignoring a hang-up.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)


for _name in ("COLUMNS", "LINES"):  # readline exports them, and a report that goes to a pipe is as wide as they say
    os.environ.pop(_name, None)


def unpack_core(name: str) -> Path:
    """The plain file of a committed core (`name` without .core.xz), unpacked into build/ where it is not there yet.

    Safe with several test processes at once: it appears by one rename.
    """
    packed = CORES / f"{name}.core.xz"
    plain = UNPACKED / f"{name}.core"
    if plain.is_file() and plain.stat().st_mtime >= packed.stat().st_mtime:
        return plain
    plain.parent.mkdir(parents=True, exist_ok=True)
    part = plain.with_name(f"{plain.name}.part{os.getpid()}")
    with lzma.open(packed) as source, part.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    part.rename(plain)
    return plain


def truth_of(name: str) -> Dict[str, Any]:
    """What was injected into a committed core, as its maker wrote it down."""
    return json.loads((CORES / f"{name}.truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def core_path() -> Callable[[str], Path]:
    """unpack_core, as a fixture."""
    return unpack_core


@pytest.fixture(scope="session")
def runtime_3_1() -> Path:
    """The unpacked package of .NET Core 3.1.23 for Linux x64 (fetched by hash at its first use)."""
    from fixtures import packages

    return packages.fetch("dotnet-3.1.23-linux-x64")


@pytest.fixture
def dumpwalk_command() -> Callable[..., subprocess.CompletedProcess]:
    """Runs `python -m dumpwalk ARG...` in a process of its own, without input; text unless told otherwise."""

    def run(*arguments: object, env: Optional[Dict[str, str]] = None, text: bool = True) -> subprocess.CompletedProcess:
        argv: List[str] = [sys.executable, "-m", "dumpwalk", *map(str, arguments)]
        merged = {**os.environ, "NO_COLOR": "1", **(env or {})}
        return subprocess.run(
            argv, cwd=ROOT, env=merged, stdin=subprocess.DEVNULL, capture_output=True, text=text, check=False
        )

    return run
