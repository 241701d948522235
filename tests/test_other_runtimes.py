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
from tests.real_cores import analyze

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


def _analyze(core: Path, *options: str) -> Tuple[int, Dict[str, Any]]:
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core), *options]
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


@pytest.mark.parametrize("way", ["told", "unread"])
@pytest.mark.live
def test_a_native_aot_of_net_11_is_known_by_its_contract(way: str, tmp_path: Path) -> None:
    """A runtime that describes itself is CoreCLR's only where the description says so: not where its text is not there."""
    program = build.compile_c("aot", tmp_path / "aot")
    code, report = _analyze(_core_of([str(program), way], tmp_path, 2), "-m", str(tmp_path))
    assert code == 12 and report["runtime"] is None
    if way == "told":
        _named(report, "NativeAOT", ".NET without CoreCLR")
    else:
        assert report["verdict"]["kind"] == "not-found" and "a runtime's descriptor" in report["verdict"]["headline"]


def test_a_library_of_native_aot_is_known_by_its_header() -> None:
    """.NET 10.0.14 in a library of a C program, from the kernel's core alone."""
    code, report, _ = analyze("waits/nativeaot-idle")
    assert code == 12
    _named(report, "NativeAOT", ".NET without CoreCLR")
    how = next(c["why"] for c in report["coverage"] if c["area"] == "other-runtime")
    assert "DotNetRuntimeDebugHeader at 0x" in how and "FixedWidthParser.Native.so" in how
    assert next(c["why"] for c in report["coverage"] if c["area"] == "dispatch-cache") == "NativeAOT has none"


def test_a_mapped_libjvm_makes_it_a_java_process(tmp_path: Path) -> None:
    """Only the name is Java's here: libc.so.6 of a core of idle workers is called libjvm.so."""
    data = unpack_core("waits/idle-condition").read_bytes().replace(b"libc.so.6\0", b"libjvm.so\0")
    core = tmp_path / "java.core"
    core.write_bytes(data)
    code, report = _analyze(core)
    assert code == 12
    _named(report, "Java", "jhsdb")


def test_a_deadlocked_go_program_is_known_by_its_build_information() -> None:
    code, report, _ = analyze("waits/go-abba")
    assert code == 12
    _named(report, "Go", "dlv core")


def test_a_deadlocked_rust_program_is_known_by_its_file(tmp_path: Path) -> None:
    """Nothing in the core's own memory says that it is Rust: without the file the words are of no kind that is known."""
    code, report, _ = analyze("waits/rust-abba")
    assert code == 12
    _named(report, "Rust", "rust-gdb")
    assert "2 threads wait for something of Rust's own" in report["verdict"]["headline"]
    code, report, _ = analyze("waits/rust-abba", modules=False)
    assert (code, report["verdict"]["kind"]) == (12, "unexplained-wait")
    assert sorted(a["thread"] for f in report["findings"] for a in f["actors"]) == [1, 2]


def test_a_rust_program_that_waits_for_no_lock_is_none_with_its_scope() -> None:
    code, report, _ = analyze("waits/rust-busy")
    assert code == 0 and "locks of Rust are not looked at" in report["verdict"]["sentence"]
