"""Hangs in managed locks: the samples of 10, live hangs of 3.1, 8 and 9, their healthy twins, and damaged memory."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr.locks.sync_table import read_sync_table
from dumpwalk.engine.run import report_of
from fixtures.hangs import name_of
from tests.bare_process import bare_process, rewrite
from tests.conftest import ROOT, truth_of
from tests.real_cores import analyze

SAMPLE = "managed/linux-x64-10.0.12-"
KINDS = ("monitor", "lock", "rwlock", "mutex", "class-init", "spinlock", "pthread")


def rows(report: Dict[str, Any], kind: str) -> Dict[str, Dict[str, Any]]:
    return {lock["object"]["address"]: lock for lock in report["locks"] if lock["kind"] == kind and lock["object"]}


def tids(report: Dict[str, Any], indexes: List[int]) -> List[int]:
    by_index = {t["index"]: t["tid"] for t in report["threads"]}
    return sorted(by_index[i] for i in indexes)


def ring(report: Dict[str, Any]) -> List[List[int]]:
    cycles = [f for f in report["findings"] if f["kind"] == "lock-cycle"]
    return sorted(tids(report, [a["thread"] for a in f["actors"] if a["role"] == "holder"]) for f in cycles)


@pytest.mark.parametrize("name, kind", [("monitor-three", "monitor"), ("rwlock", "rwlock")])
def test_cycle_of_the_sample_names_owners_waiters_and_types(name: str, kind: str) -> None:
    code, report, _ = analyze(SAMPLE + name)
    wanted = truth_of(SAMPLE + name)["expectation"]
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (10, "hang", "lock-cycle")
    assert ring(report) == [sorted(wanted["cycle_os_tids"])]
    found = rows(report, kind)
    for lock in wanted["locks"]:
        row = found[lock["address"]]
        assert row["object"]["type"] == lock["type"] and row["locked"] is True
        assert [o["tid"] for o in row["owners"]] == [lock["owner_os_tid"]]
        assert [o["managed_id"] for o in row["owners"]] == [lock["owner_managed_id"]]
        assert tids(report, [w["thread"] for w in row["waiters"]]) == sorted(lock["waiters_os_tids"])
        assert {w["grade"] for w in row["waiters"]} == {"proved"}


def test_class_initialiser_and_lock_are_one_cycle() -> None:
    code, report, _ = analyze(SAMPLE + "cctor")
    wanted = truth_of(SAMPLE + "cctor")["expectation"]
    assert (code, report["verdict"]["kind"], ring(report)) == (10, "lock-cycle", [sorted(wanted["cycle_os_tids"])])
    kinds = {lock["kind"]: lock["object"]["type"] for lock in report["locks"] if lock["object"]}
    assert set(kinds) == {"class-init", "monitor"}
    types = {lock["kind"]: lock["type"] for lock in wanted["locks"]}
    assert kinds["monitor"] == types["Monitor"]
    assert "initialiser of " + kinds["class-init"] in " ".join(report["findings"][0]["summary"])


def test_lock_whose_owner_is_gone() -> None:
    code, report, _ = analyze(SAMPLE + "lock-owner-gone")
    (lock,) = truth_of(SAMPLE + "lock-owner-gone")["expectation"]["locks"]
    row = rows(report, "lock")[lock["address"]]
    assert (code, report["verdict"]["kind"]) == (10, "lock-orphaned")
    assert [(o["tid"], o["gone"], o["thread"]) for o in row["owners"]] == [(lock["owner_os_tid"], True, None)]
    assert tids(report, [w["thread"] for w in row["waiters"]]) == sorted(lock["waiters_os_tids"])


def test_collector_that_waits_for_a_blocked_thread() -> None:
    code, report, _ = analyze(SAMPLE + "gc-suspend")
    wanted = truth_of(SAMPLE + "gc-suspend")["expectation"]
    finding = report["findings"][0]
    assert (code, finding["kind"], finding["status"]) == (10, "gc-suspension", "hang")
    blocking = [a["thread"] for a in finding["actors"] if a["role"] == "blocking"]
    assert tids(report, blocking) == sorted(wanted["culprit_os_tids"])


def test_idle_server_is_healthy_and_every_managed_thread_is_understood() -> None:
    code, report, _ = analyze(SAMPLE + "idle-healthy")
    cover = {c["area"]: c for c in report["coverage"]}
    assert (code, report["verdict"]["kind"]) == (0, "nothing-stuck")
    assert "managed locks" in report["verdict"]["summary"] and cover["managed-locks"]["status"] == "complete"


def test_waits_are_told_by_the_program_s_own_method_and_threads_by_name() -> None:
    _, report, _ = analyze(SAMPLE + "monitor-three")
    program = truth_of(SAMPLE + "monitor-three")["program"]
    text = " ".join(report["findings"][0]["summary"])
    for thread in program["threads"]:
        if thread["holds"]:
            assert f'"{thread["name"]}" (tid {thread["os_tid"]})' in text
    assert "System.Threading" not in text and text.count(", in Program") == 3


# --- damaged memory: a documented answer, and nothing proved that the damage made up -----------------------------------


def _reread(name: str, changes: Dict[int, int]) -> Any:
    process = rewrite(bare_process(name), changes)
    return report_of(observe(process), "core", process.corefile)


@pytest.mark.parametrize("value", [0, 0x7FFFFFFF, 0xDEADBEEF])
def test_damaged_owner_word_proves_no_cycle(value: int) -> None:
    name = SAMPLE + "monitor-three"
    lock = truth_of(name)["expectation"]["locks"][0]
    block = int(lock["sync_block"], 16)
    report = _reread(name, {block + 8: (lock["owner_os_tid"] << 64 | value) & 0xFFFFFFFF})
    assert not any(f.kind == "lock-cycle" and f.status == "hang" for f in report.findings)
    assert report.verdict.exit_code in (10, 11, 12)


def test_damaged_table_entry_is_told_and_makes_up_no_lock() -> None:
    name = SAMPLE + "monitor-three"
    lock = truth_of(name)["expectation"]["locks"][1]
    report = _reread(name, {int(lock["sync_table_entry"], 16): int(lock["sync_block"], 16) + 0x58})
    assert all(row.address != lock["address"] for row in report.locks)
    assert report.verdict.exit_code in (11, 12)


def test_what_lies_behind_the_used_part_of_the_table_is_not_damage() -> None:
    """Memory that was never written: strange pairs, and some that look like freed entries, as in a core of gdb's gcore."""
    name = "managed/linux-x64-10.0.12-monitor-three"
    process = bare_process(name)
    table = read_sync_table(observe(process).around)
    assert table.address is not None and table.status == "complete"
    last = table.entries[-1].number
    behind = {}
    for number in range(last + 1, last + 40):
        behind[table.address + 16 * number] = 0x1E if number % 3 else 0
        behind[table.address + 16 * number + 8] = 0x9 if number % 3 == 0 else 0x1E
    again = read_sync_table(observe(rewrite(bare_process(name), behind)).around)
    assert [e.number for e in again.entries] == [e.number for e in table.entries]
    assert (again.status, again.disagreeing) == ("complete", 0)


def test_damaged_sync_number_is_no_sync_block() -> None:
    name = SAMPLE + "monitor-three"
    lock = truth_of(name)["expectation"]["locks"][1]
    words = struct.pack("<II", 1, 0x8000FFFF)
    report = _reread(name, {int(lock["sync_block"], 16) + 0x18: struct.unpack("<Q", words)[0]})
    assert all(row.address != lock["address"] for row in report.locks)
    cover = {c.area: c for c in report.coverage}["managed-locks"]
    assert cover.status == "partial" and report.verdict.exit_code == 12


# --- live: made in this run, on real runtimes -------------------------------------------------------------------------


def made(name: str, folder: Path) -> Tuple[int, Dict[str, Any], Dict[str, Any]]:
    """A scene made now: (exit code, report, truth)."""
    make = [sys.executable, "-m", "fixtures.make", "--only", name, "--out", str(folder)]
    subprocess.run(make, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    core = folder / f"{name}.core"
    look = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core)]
    done = subprocess.run(look, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    core.unlink()
    return done.returncode, json.loads(done.stdout), json.loads((folder / f"{name}.truth.json").read_text())


def told(report: Dict[str, Any], truth: Dict[str, Any], gone: Tuple[str, ...] = ()) -> None:
    """Rows of the report against what the program said: owners and waiters of every lock that is waited for. The owners of
    the locks in `gone` have ended."""
    for name, lock in truth["locks"].items():
        if lock["waiters"] and lock["kind"] in KINDS:
            waited = [row for row in report["locks"] if row["kind"] == lock["kind"]]
            found = [row for row in waited if tids(report, [w["thread"] for w in row["waiters"]]) == lock["waiters"]]
            assert len(found) == 1, lock
            if name in gone:
                assert [o["gone"] for o in found[0]["owners"]] == [True]
            else:
                assert sorted(o["tid"] for o in found[0]["owners"]) == sorted(lock["owners"])
            if found[0]["object"] is not None and lock["kind"] not in ("spinlock", "class-init"):
                assert _spaced(found[0]["object"]["type"]) == _spaced(lock["type"])


def _spaced(name: Optional[str]) -> Optional[str]:
    return name.replace(", ", ",") if name is not None else None


LIVE = [("9", "mixed"), ("8", "finalizer")]


@pytest.mark.live
@pytest.mark.parametrize("runtime, mode", LIVE, ids=[f"{r}-{m}" for r, m in LIVE])
def test_live_cycle(runtime: str, mode: str, tmp_path: Path) -> None:
    code, report, truth = made(name_of(runtime, mode), tmp_path)
    assert (code, report["verdict"]["kind"]) == (10, "lock-cycle")
    assert ring(report) == [sorted(truth["cycle_tids"])]
    told(report, truth)


HEALTHY = [("9", "server")]


@pytest.mark.live
@pytest.mark.parametrize("runtime, mode", HEALTHY, ids=[f"{r}-{m}" for r, m in HEALTHY])
def test_live_healthy(runtime: str, mode: str, tmp_path: Path) -> None:
    code, report, truth = made(name_of(runtime, mode), tmp_path)
    assert (code, report["verdict"]["status"]) == (0, "none"), report["coverage"]
    assert not any(f["status"] == "hang" for f in report["findings"])
    told(report, truth)
