"""Damage that is easily passed over: a cache's `empty`, a second cache, a tid that stands twice; crashes; Breakpad's minidumps."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

from dumpwalk.dump.preflight import open_core
from dumpwalk.errors import BreakpadMinidump
from tests.conftest import ROOT, truth_of, unpack_core
from tests.real_cores import analyze, module_options
from tests.test_runtime_without_names import _notes, _offset


def _analyze(core: Path, *options: str) -> Tuple[int, Dict[str, Any]]:
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core), *options]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_the_pointer_to_the_end_marker_overwritten_is_damage(tmp_path: Path) -> None:
    data, truth = bytearray(unpack_core("healthy").read_bytes()), truth_of("healthy")
    place = _offset(data, int(truth["table"], 16) + 0x8000)
    struct.pack_into("<Q", data, place, 0x4141414141414140)
    core = tmp_path / "empty.core"
    core.write_bytes(data)
    code, report = _analyze(core)
    assert (code, report["verdict"]["kind"]) == (11, "dispatch-cache-damage")
    assert [v["kind"] for v in report["dispatch_cache"]["violations"]] == ["damaged-empty"]


def _with_second_cache(cyclic: bool, core: Path) -> int:
    """The healthy core with a copy of its dispatch cache in unused memory, to which r12 of a thread that runs leads; the copy's
    address. In a cyclic copy a node of one bucket leads to itself."""
    data, truth = bytearray(unpack_core("healthy").read_bytes()), truth_of("healthy")
    cache, table = int(truth["cache"], 16), int(truth["table"], 16)
    first, length = _offset(data, cache), table + 0x8008 - cache
    copy = 0x7F5B54F7A000
    place = _offset(data, copy)
    assert not any(data[place : place + 0x9000]), "memory that nobody uses"
    data[place : place + length] = data[first : first + length]
    if cyclic:
        slots = struct.unpack_from("<4096Q", data, place + table - cache)
        bucket = next(b for b, node in enumerate(slots) if node != int(truth["sentinel"], 16))
        key = data[_offset(data, slots[bucket]) : _offset(data, slots[bucket]) + 24]
        node = copy + 0x8800
        data[place + 0x8800 : place + 0x8820] = key + struct.pack("<Q", node)
        struct.pack_into("<Q", data, place + table - cache + 8 * bucket, node)
    sleeper = next(
        body
        for _, kind, body, _ in _notes(data)
        if kind == 1 and struct.unpack_from("<q", data, body + 112 + 120)[0] == 202
    )
    struct.pack_into("<Q", data, sleeper + 112 + 24, copy)
    struct.pack_into("<q", data, sleeper + 112 + 120, -1)  # orig_rax: in no system call
    core.write_bytes(data)
    return copy


def test_a_second_cache_with_a_circle_is_damage(tmp_path: Path) -> None:
    copy = _with_second_cache(True, tmp_path / "second.core")
    code, report = _analyze(tmp_path / "second.core", *module_options("healthy"))
    assert (code, report["verdict"]["kind"]) == (11, "dispatch-cache-damage")
    (violation,) = report["dispatch_cache"]["violations"]
    assert (violation["kind"], violation["address"]) == ("second-cache", f"0x{copy:x}")
    assert "1 circular chain" in violation["detail"] and report["dispatch_cache"]["cycles"] == []
    assert report["dispatch_cache"]["address"] == truth_of("healthy")["cache"]


def test_a_second_cache_that_is_in_order_is_told_and_no_damage(tmp_path: Path) -> None:
    copy = _with_second_cache(False, tmp_path / "second.core")
    code, report = _analyze(tmp_path / "second.core")
    assert code in (0, 12) and report["dispatch_cache"]["violations"] == []
    addresses = {copy, int(truth_of("healthy")["cache"], 16)} - {int(report["dispatch_cache"]["address"], 16)}
    (cover,) = [c for c in report["coverage"] if c["area"] == "dispatch-cache"]
    assert cover["status"] == "complete" and len(addresses) == 1
    assert f"1 more structure looks like it, at 0x{addresses.pop():x}" in cover["why"]


def test_a_managed_thread_in_a_wait_that_nothing_explains_is_never_nothing_stuck(tmp_path: Path) -> None:
    """A worker of the healthy process, which sleeps for a while, without its time limit and without what the PAL notes of its
    waits: the PAL's own condition variable is all that is left of what it waits for."""
    data = bytearray(unpack_core("healthy").read_bytes())
    worker = [body for _, kind, body, _ in _notes(data) if kind == 1][7]
    (call,) = struct.unpack_from("<q", data, worker + 112 + 8 * 15)
    assert call == 202 and struct.unpack_from("<Q", data, worker + 112 + 8 * 7)[0]
    struct.pack_into("<Q", data, worker + 112 + 8 * 7, 0)
    struct.pack_into("<Q", data, worker + 112 + 8 * 13, 0x189)
    (word,) = struct.unpack_from("<Q", data, worker + 112 + 8 * 14)
    near = range(_offset(data, word) // 8 * 8 - 0x800, _offset(data, word) + 0x800, 8)
    for place in near:  # its CPalThread holds its own address where it notes how many objects it waits for
        if abs(struct.unpack_from("<Q", data, place)[0] - word) < 0x800:
            struct.pack_into("<Q", data, place, 0)
    core = tmp_path / "waits.core"
    core.write_bytes(data)
    code, report = _analyze(core)
    assert (code, report["verdict"]["kind"]) == (12, "managed-wait-unknown")
    assert "1 managed thread waits for something that was not recognised" in report["verdict"]["headline"]
    cover = next(c for c in report["coverage"] if c["area"] == "managed-locks")
    assert cover["status"] == "partial" and "not recognised: 8" in cover["why"]


def test_two_threads_with_one_tid_are_two_rows_and_repro_lines_show_their_own_registers(tmp_path: Path) -> None:
    data = bytearray(unpack_core("native-three").read_bytes())
    records = [body for _, kind, body, _ in _notes(data) if kind == 1]
    (tid,) = struct.unpack_from("<i", data, records[1] + 32)
    struct.pack_into("<i", data, records[2] + 32, tid)
    core = tmp_path / "twice.core"
    core.write_bytes(data)
    code, report = _analyze(core)
    threads = report["threads"]
    assert len({t["index"] for t in threads}) == len(threads) == len(records)
    assert [t["tid"] for t in threads].count(tid) == 2 and code != 10
    pcs = {struct.unpack_from("<Q", data, body + 112 + 8 * 16)[0] for body in records}
    assert {int(t["frames"][0]["pc"], 16) for t in threads if t["frames"]} <= pcs
    assert "crashed" not in next(c["why"] for c in report["coverage"] if c["area"] == "stacks")
    for line in (
        line for finding in report["findings"] for line in finding["repro"] if line.startswith("thread select")
    ):
        assert int(line.split()[-1]) <= 3, "lldb has three threads of this file"


def test_a_crash_of_two_threads_with_one_tid_names_neither(tmp_path: Path) -> None:
    """The signal's note has the number of both: a stack or a line for lldb would be that of one or of the other."""
    data = bytearray(unpack_core("waits/crash").read_bytes())
    crashed, other = [body for _, kind, body, _ in _notes(data) if kind == 1]
    data[other + 32 : other + 36] = data[crashed + 32 : crashed + 36]
    core = tmp_path / "twice.core"
    core.write_bytes(data)
    code, report = _analyze(core)
    finding = next(f for f in report["findings"] if f["kind"] == "crash")
    assert code == 12 and report["verdict"]["headline"].startswith("CRASH, not a hang: a thread received SIGSEGV")
    assert finding["repro"] == [] and finding["actors"] == [] and len(finding["summary"]) == 1


def test_a_crash_is_said_first_with_its_thread_and_stack() -> None:
    code, report, _ = analyze("waits/crash")
    thread = truth_of("waits/crash")["threads"]["parser"]
    headline = report["verdict"]["headline"]
    assert headline.startswith("CRASH, not a hang: ") and "SIGSEGV" in headline and f"tid {thread}" in headline
    finding = next(f for f in report["findings"] if f["kind"] == "crash")
    assert "store <- parse" in finding["summary"][1]
    argv = [sys.executable, "-m", "dumpwalk", "analyze", str(unpack_core("waits/crash"))]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("CRASH  not a hang") and "NOTHING STUCK" not in done.stdout


@pytest.mark.parametrize(("name", "signal"), [("crash-owner", "SIGSEGV"), ("abort-owner", "SIGABRT")])
def test_the_owner_of_a_lock_that_crashed_is_not_said_to_go_on(name: str, signal: str) -> None:
    truth, (code, report, _) = truth_of(f"waits/{name}"), analyze(f"waits/{name}")
    assert code == 0 and report["verdict"]["headline"].startswith("CRASH, not a hang: ")
    (lock,) = report["locks"]
    assert (lock["address"], lock["owner"]["tid"]) == (truth["locks"]["wanted"], truth["threads"]["owner"])
    finding = next(f for f in report["findings"] if f["kind"] == "lock-contention")
    assert finding["title"] == f"1 thread waits for 'wanted'; its owner had received {signal}."
    assert "go on" not in finding["title"] + finding["observed"][0] and finding["consistent_with"] == []
    assert "That the owner can go on." in finding["not_established"]


@pytest.mark.parametrize(("platform", "system"), [(0x8201, "Linux"), (0x8101, "macOS")])
def test_breakpads_minidumps_are_named(platform: int, system: str, tmp_path: Path) -> None:
    header = b"MDMP" + struct.pack("<IIIIIQ", 0xA793, 1, 32, 0, 0, 0)
    info = struct.pack("<HHHBBIIII", 9, 6, 0, 2, 1, 5, 4, 0, platform)
    path = tmp_path / "upload.dmp"
    path.write_bytes(header + struct.pack("<III", 7, len(info), 44) + info)
    with pytest.raises(BreakpadMinidump) as caught:
        open_core(str(path))
    assert f"a minidump of a {system} process" in str(caught.value) and "WinDbg" not in caught.value.sentence()
