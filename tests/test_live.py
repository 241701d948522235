"""The dumpwalk command on a live, hung .NET process: attach, analyze, detach, and the process goes on as before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Set, Tuple

import pytest

from tests.conftest import ROOT
from tests.lldb_batch import batch

pytestmark = pytest.mark.live
KIND = "dispatch-cache-cycle"


@pytest.fixture(scope="module")
def hung() -> Iterator[Dict[str, Any]]:
    """The truth of a process that hangs while the tests run; it dies with them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fixtures.make", "--keep-alive", "hang-self"], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield json.loads(line)
    finally:
        process.kill()
        process.communicate()


def _stat(pid: int, tid: int) -> Tuple[str, int]:
    """(state, CPU ticks) of one thread, from /proc/PID/task/TID/stat."""
    words = Path(f"/proc/{pid}/task/{tid}/stat").read_text().rsplit(")", 1)[1].split()
    return words[0], int(words[11]) + int(words[12])


def _threads(pid: int) -> Set[int]:
    return {int(p.name) for p in Path(f"/proc/{pid}/task").iterdir()}


def _worker(truth: Dict[str, Any]) -> Set[int]:
    return set(truth["workers"])


def _still_hung(truth: Dict[str, Any]) -> None:
    """The spinner burns CPU, every waiter sleeps, nobody traces the process."""
    pid, spinner = truth["pid"], truth["spinner_tid"]
    assert _worker(truth) <= _threads(pid)
    before = _stat(pid, spinner)[1]
    end = time.monotonic() + 60
    while _stat(pid, spinner)[1] < before + 5:
        assert time.monotonic() < end, "the spinner has stopped"
        time.sleep(0.05)
    assert {_stat(pid, tid)[0] for tid in truth["waiters"]} == {"S"}
    assert "TracerPid:\t0" in Path(f"/proc/{pid}/status").read_text()


def test_attach_analyze_detach(hung: Dict[str, Any], tmp_path: Path) -> None:
    _still_hung(hung)
    out = tmp_path / "r.json"
    done = batch([
        f"process attach --pid {hung['pid']}", "thread select 3", f'dumpwalk analyze -o "{out}"', "thread info",
        f"dumpwalk walk {hung['head']}", "process detach",
    ])  # fmt: skip
    assert done.code == 0 and not done.errors, done
    report = json.loads(out.read_text())
    tids = {t["index"]: t["tid"] for t in report["threads"]}
    assert report["verdict"]["status"] == "hang" and report["verdict"]["kind"] == KIND
    assert report["verdict"]["line"] in done.output
    assert report["dump"]["kind"] == "live" and report["dump"]["pid"] == hung["pid"]
    lock = next(row for row in report["locks"] if row["address"] == hung["lock"])
    assert lock["owner"]["tid"] == hung["spinner_tid"]
    assert {tids[w["thread"]] for w in lock["waiters"]} == set(hung["waiters"])
    assert {w["grade"] for w in lock["waiters"]} == {"proved"}
    cycle = report["dispatch_cache"]["cycles"][0]
    assert [n["address"] for n in cycle["nodes"]] == hung["cycle"] and cycle["tail"] == hung["tail"]
    assert report["dispatch_cache"]["address"] == hung["cache"] and report["dispatch_cache"]["walked"] == "complete"
    assert report["runtime"]["version"] == hung["runtime"]["version"]
    assert "thread #3" in done.output.split("(lldb) thread info")[1].split("(lldb)")[0], "the selection was not kept"
    assert f"loop of {len(hung['cycle'])}" in done.output
    _still_hung(hung)


def test_dumpwalk_itself_looks_and_lets_go(hung: Dict[str, Any], tmp_path: Path) -> None:
    """analyze --pid without a debugger, an evidence core of the process, and two looks."""
    out, small = tmp_path / "r.json", tmp_path / "small.core"
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "--pid", str(hung["pid"]), "-o", str(out), "-o", str(small)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 10, done.stderr
    _still_hung(hung)
    report = json.loads(out.read_text())
    tids = {t["index"]: t["tid"] for t in report["threads"]}
    assert (report["verdict"]["kind"], report["verdict"]["signature"]) == (KIND, "4fd21060")
    assert (report["dump"]["kind"], report["dump"]["pid"], report["dump"]["path"]) == (
        "live",
        hung["pid"],
        f"process {hung['pid']}",
    )
    assert _worker(hung) <= set(tids.values())
    lock = next(row for row in report["locks"] if row["address"] == hung["lock"])
    assert lock["owner"]["tid"] == hung["spinner_tid"]
    assert {tids[w["thread"]] for w in lock["waiters"]} == set(hung["waiters"])
    assert [n["address"] for n in report["dispatch_cache"]["cycles"][0]["nodes"]] == hung["cycle"]
    live = next(c for c in report["coverage"] if c["area"] == "live-process")
    assert live["status"] == "complete" and report["movement"]["stopped_us"] > 0
    argv = [sys.executable, "-m", "dumpwalk", "analyze", str(small), "-f", "json"]
    again = json.loads(subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False).stdout)
    assert again["verdict"]["line"] == report["verdict"]["line"] and again["locks"] == report["locks"]
    assert small.stat().st_size < 20_000_000


def test_two_looks_at_the_hang_are_stuck(hung: Dict[str, Any]) -> None:
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "--pid", str(hung["pid"]), "--again", "0.6", "-f", "json"]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"]["status"]) == (10, "stuck")
    spinner = next(t for t in found["threads"] if t["tid"] == hung["spinner_tid"])
    assert spinner["motion"] in ("turning", "still") and spinner["ran"] in (True, False)
    assert {t["motion"] for t in found["threads"] if t["tid"] in hung["waiters"]} == {"still"}
    _still_hung(hung)


def test_the_commands_to_paste_work_on_the_live_process_too(hung: Dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    attach = f"process attach --pid {hung['pid']}"
    assert batch([attach, f'dumpwalk analyze -o "{out}"', "process detach"]).code == 0
    finding = json.loads(out.read_text())["findings"][0]
    done = batch([attach, *finding["repro"], "process detach"])
    assert done.code == 0 and not done.errors
    walker = next(e["command"] for e in finding["evidence"] if "read rip" in (e["command"] or "")).split("\n")[0]
    moving = [
        e for e in finding["evidence"] if (e["command"] or "").startswith(f"{walker}\n")
    ]  # it turns between the stops
    fixed = [e["shows"] for e in finding["evidence"] if e["shows"] and e not in moving]
    assert fixed and moving
    for shows in fixed:
        assert shows in done.output
    _still_hung(hung)


def test_a_running_process_is_not_touched(hung: Dict[str, Any]) -> None:
    commands = ["script lldb.debugger.SetAsync(True)", f"process attach --pid {hung['pid']}",
                "script import time; p = lldb.debugger.GetSelectedTarget().GetProcess(); "
                "e = [time.sleep(0.1) for _ in range(300) if p.GetState() != lldb.eStateStopped]",
                "process continue",
                "script e = [time.sleep(0.1) for _ in range(300) if p.GetState() != lldb.eStateRunning]",
                "dumpwalk analyze"]  # fmt: skip
    done = batch(commands)
    assert done.code == 1 and "is running" in done.errors and "process interrupt" in done.errors, done
    assert "Traceback" not in done.errors + done.output
    _still_hung(hung)


def test_python_analyses_a_live_target(hung: Dict[str, Any]) -> None:
    done = batch([
        f"process attach --pid {hung['pid']}",
        "script import dumpwalk; r = dumpwalk.analyze(lldb.target); print('said', r.verdict.kind, r.dump.path)",
        "process detach",
    ])  # fmt: skip
    assert f"said {KIND} process {hung['pid']}" in done.output
    _still_hung(hung)


def test_a_process_that_has_ended_is_said_so() -> None:
    done = batch([f'target create "{sys.executable}"', "settings set target.disable-aslr false",
                  "process launch -o /dev/null -- -c pass", "dumpwalk analyze"])  # fmt: skip
    assert done.code == 1 and "it has ended" in done.errors


def test_the_recipe_of_two_looks(hung: Dict[str, Any], tmp_path: Path) -> None:
    """docs/examples/look-at-process.sh on the hung process: report, evidence core, stuck."""
    environment = {**os.environ, "DUMPWALK": f"{sys.executable} -m dumpwalk", "DUMPWALK_AGAIN": "0.6"}
    argv = ["sh", "docs/examples/look-at-process.sh", str(hung["pid"]), str(tmp_path)]
    done = subprocess.run(
        argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 10, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(f"dumpwalk-verdict: hang {KIND}: ") and second.startswith("dumpwalk-compare: stuck: ")
    assert "**STUCK**" in (tmp_path / f"{hung['pid']}.compare.md").read_text()
    assert 0 < (tmp_path / f"{hung['pid']}.core.xz").stat().st_size < 5_000_000
    _still_hung(hung)
