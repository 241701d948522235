"""Processes of other runtimes are named, with the tool that reads their locks, and never "nothing stuck" over their waits."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from fixtures import build, dump, proc
from fixtures.program import Program
from tests.conftest import ROOT, unpack_core

PYTHON = """
import threading, time
a, b = threading.Lock(), threading.Lock()
def take(x, y):
    with x:
        time.sleep(.2)
        with y: pass
for pair in ((a, b), (b, a)): threading.Thread(target=take, args=pair).start()
"""
MONO = """
using System.Threading;
class Program {
    static object a = new object(), b = new object();
    static void Take(object x, object y) { lock (x) { Thread.Sleep(200); lock (y) { } } }
    static void Main() { new Thread(() => Take(a, b)).Start(); Take(b, a); }
}
"""


def _analyze(core: Path) -> Tuple[int, Dict[str, Any]]:
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def _core_of(command: List[str], folder: Path, asleep: int) -> Path:
    """A core of the program once so many of its threads sleep in futex(2), and no fewer half a second later."""
    with Program(command, folder) as program:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if sum(len(tids) for tids in proc.futex_sleepers(program.pid).values()) >= asleep:
                break
        return dump.gcore(program.pid, folder / "other.core")


def _named(report: Dict[str, Any], name: str, tool: str) -> None:
    assert report["verdict"]["kind"] == "other-runtime" and report["runtime"] is None
    assert name in report["verdict"]["headline"] and tool in report["verdict"]["headline"]
    assert any(c["area"] == "other-runtime" and name in c["why"] for c in report["coverage"])


@pytest.mark.live
def test_a_deadlocked_python_is_named_with_its_tool(tmp_path: Path) -> None:
    code, report = _analyze(_core_of(["/usr/bin/python3", "-c", PYTHON], tmp_path, 3))
    assert code == 12
    _named(report, "CPython", "pystack")


@pytest.mark.live
def test_a_deadlocked_mono_is_named_as_dotnet_without_coreclr(tmp_path: Path) -> None:
    (tmp_path / "dead.cs").write_text(MONO)
    subprocess.run(["mcs", str(tmp_path / "dead.cs")], check=True)
    code, report = _analyze(_core_of(["mono", str(tmp_path / "dead.exe")], tmp_path, 3))
    assert code == 12
    _named(report, "Mono", ".NET without CoreCLR")


@pytest.mark.live
def test_nativeaot_is_known_by_its_header(tmp_path: Path) -> None:
    program = build.compile_c("aot", tmp_path / "aot")
    code, report = _analyze(_core_of([str(program)], tmp_path, 2))
    assert code == 12
    _named(report, "NativeAOT", ".NET without CoreCLR")


def test_a_mapped_libjvm_makes_it_a_java_process(tmp_path: Path) -> None:
    """Only the name is Java's here: libc.so.6 of a core of idle workers is called libjvm.so."""
    data = unpack_core("waits/idle-condition").read_bytes().replace(b"libc.so.6\0", b"libjvm.so\0")
    core = tmp_path / "java.core"
    core.write_bytes(data)
    code, report = _analyze(core)
    assert code == 12
    _named(report, "Java", "jhsdb")


def test_a_go_program_is_known_by_its_build_information(tmp_path: Path) -> None:
    """Only the mark is Go's here, in the data of a core of idle consumers."""
    from tests.conftest import truth_of
    from tests.test_runtime_without_names import _offset

    data = bytearray(unpack_core("waits/idle-semaphore").read_bytes())
    place = _offset(data, int(truth_of("waits/idle-semaphore")["objects"]["start_line"]["address"], 16))
    data[place : place + 14] = b"\xff Go buildinf:"
    core = tmp_path / "go.core"
    core.write_bytes(data)
    code, report = _analyze(core)
    assert code == 12
    _named(report, "Go", "dlv core")
