"""Waits of native programs that are no plain mutex: each hang is named with its parties, each healthy twin is none.

The cores are the kernel's: no code, no libc. So every statement rests on memory and registers, with the program's own file
(names) and without.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from tests.conftest import ROOT, truth_of, unpack_core
from tests.real_cores import analyze, tids

PROVED = (
    "rwlock-crossed", "rwlock-mixed", "shared-mutex", "join-mutex", "join-ring", "robust-abba", "robust-self", "inherit-abba",
    "inherit-self", "protect-abba", "protect-self",
)  # fmt: skip
HEALTHY = (
    "rwlock-slow", "join-slow", "robust-slow", "inherit-slow", "protect-slow", "idle-condition", "idle-semaphore", "idle-barrier",
    "idle-server",
)  # fmt: skip
BARE = ("rwlock-mixed", "join-mutex", "inherit-abba")
"""Of these the program's own file is withheld."""
NO_OWNER = ("rwlock-upgrade", "rwlock-readers", "rwlock-busy", "spin-abba", "spin-slow")


def _holders(report: Dict[str, Any]) -> List[int]:
    by_index = tids(report)
    return [by_index[a["thread"]] for a in report["findings"][0]["actors"] if a["role"] == "holder"]


@pytest.mark.parametrize(("name", "modules"), [*((n, True) for n in PROVED), *((n, False) for n in BARE)])
def test_a_deadlock_is_proved_with_all_its_parties(name: str, modules: bool) -> None:
    truth, (code, report, _) = truth_of(f"waits/{name}"), analyze(f"waits/{name}", modules=modules)

    assert (code, report["verdict"]["kind"]) == (10, "lock-cycle")
    assert sorted(_holders(report)) == sorted(truth["cycle_tids"])
    assert report["findings"][0]["confidence"] == "proved"
    owned = {(k["address"], k["owner"]["tid"]) for k in report["locks"] if k["owner"]}
    waits = {words[1] for words in truth["waits"]}
    for thread, held, _ in truth["holds"]:
        if held in waits:
            assert (truth["objects"][held]["address"], truth["threads"][thread]) in owned


@pytest.mark.parametrize("name", PROVED)
def test_who_waits_for_what_is_as_the_program_said(name: str) -> None:
    truth, (_, report, _) = truth_of(f"waits/{name}"), analyze(f"waits/{name}")
    by_tid = {t["tid"]: t for t in report["threads"]}
    for thread, wanted, how in truth["waits"]:
        wait = by_tid[truth["threads"][thread]]["wait"]
        if how == "join":
            assert wait["kind"] == "join"
        else:
            assert wait["lock"] == truth["objects"][wanted]["address"]


@pytest.mark.parametrize(("name", "modules"), [*((n, True) for n in HEALTHY), ("protect-slow", False)])
def test_a_healthy_process_that_looks_like_it_is_none(name: str, modules: bool) -> None:
    code, report, _ = analyze(f"waits/{name}", modules=modules)
    assert (code, report["verdict"]["kind"]) == (0, "nothing-stuck")
    assert all(f["status"] == "none" for f in report["findings"])


@pytest.mark.parametrize("name", NO_OWNER)
def test_locks_that_record_no_owner_are_never_none_and_never_a_hang(name: str) -> None:
    truth, (code, report, _) = truth_of(f"waits/{name}"), analyze(f"waits/{name}")
    assert (code, report["verdict"]["kind"]) == (12, "owner-unknown")
    finding = report["findings"][0]
    assert finding["kind"] == "owner-unknown" and finding["repro"]
    waiting = {tids(report)[a["thread"]] for a in finding["actors"]}
    wanted = {"rwlock", "spin"}
    for thread, what, _ in truth["waits"]:
        assert truth["objects"][what]["kind"] not in wanted or truth["threads"][thread] in waiting


def test_readers_that_hold_a_lock_are_counted_and_said_to_be_unknown() -> None:
    _, report, _ = analyze("waits/rwlock-busy")
    assert "held by 2 readers; readers are not recorded" in report["verdict"]["headline"]
    assert "pthread_rwlock_wrlock" in report["verdict"]["headline"]


@pytest.mark.parametrize("name", ["latch", "atomic"])
def test_words_of_other_libraries_are_unknown_never_no(name: str) -> None:
    code, report, _ = analyze(f"waits/{name}")
    assert code == 12 and report["verdict"]["kind"] in ("unexplained-wait", "owner-unknown")
    assert not [k for k in report["locks"] if k["owner"]]


KINDS: Tuple[Tuple[str, str], ...] = (
    ("idle-condition", "condition"), ("idle-semaphore", "semaphore"), ("idle-barrier", "barrier"), ("join-slow", "join"),
    ("rwlock-slow", "rwlock"), ("spin-abba", "spinlock"), ("inherit-slow", "mutex"),
)  # fmt: skip


@pytest.mark.parametrize("name,kind", KINDS)
def test_kinds_of_waits_are_told_apart(name: str, kind: str) -> None:
    truth, (_, report, _) = truth_of(f"waits/{name}"), analyze(f"waits/{name}")
    by_tid = {t["tid"]: t for t in report["threads"]}
    told = {thread: by_tid[truth["threads"][thread]]["wait"]["kind"] for thread, _, _ in truth["waits"]}
    assert told and set(told.values()) == {kind}


MUSL: Tuple[Tuple[str, int, str, str], ...] = (
    ("rwlock-crossed", 12, "owner-unknown", "rwlock"), ("join-ring", 10, "lock-cycle", "join"),
    ("idle-condition", 0, "nothing-stuck", "condition"), ("idle-semaphore", 0, "nothing-stuck", "semaphore"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "code", "kind", "wait"), MUSL)
def test_waits_of_musl_are_told_apart_too(name: str, code: int, kind: str, wait: str) -> None:
    truth, (seen, report, _) = truth_of(f"waits/musl-{name}"), analyze(f"waits/musl-{name}")
    assert (seen, report["verdict"]["kind"]) == (code, kind)
    by_tid = {t["tid"]: t for t in report["threads"]}
    waiting = [thread for thread, what, _ in truth["waits"] if what not in ("go_", "arrived_")]
    assert len(waiting) >= 2 and {by_tid[truth["threads"][t]]["wait"]["kind"] for t in waiting} == {wait}
    if code == 10:
        assert sorted(_holders(report)) == sorted(truth["cycle_tids"])
    if wait == "rwlock":
        assert {k["implementation"] for k in report["locks"]} == {"musl-rwlock"}
        assert {k["address"] for k in report["locks"]} == {truth["objects"][w]["address"] for _, w, _ in truth["waits"]}


def test_who_waits_for_a_thing_without_owner_is_a_note() -> None:
    _, report, _ = analyze("waits/idle-semaphore")
    truth = truth_of("waits/idle-semaphore")
    note = next(f for f in report["findings"] if f["kind"] == "wait-without-owner")
    assert truth["objects"]["tickets"]["address"] in note["summary"][0] and note["status"] == "none"


def _damaged(name: str, address: int, value: int, folder: Path) -> int:
    from tests.test_runtime_without_names import _offset

    data = bytearray(unpack_core(name).read_bytes())
    struct.pack_into("<I", data, _offset(data, address), value)
    core = folder / "damaged.core"
    core.write_bytes(data)
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core)]
    return subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode


def test_a_write_lock_whose_writer_was_overwritten_is_no_free_lock(tmp_path: Path) -> None:
    address = int(truth_of("waits/rwlock-crossed")["objects"]["catalog"]["address"], 16)
    assert _damaged("waits/rwlock-crossed", address + 24, 0, tmp_path) == 12


def test_a_pointer_to_nothing_is_no_time_limit(tmp_path: Path) -> None:
    from tests.test_runtime_without_names import _notes

    data, truth = bytearray(unpack_core("waits/rwlock-busy").read_bytes()), truth_of("waits/rwlock-busy")
    for _, kind, body, _ in _notes(data):
        if kind == 1 and struct.unpack_from("<i", data, body + 32)[0] == truth["threads"]["archiver"]:
            struct.pack_into("<Q", data, body + 112 + 8 * 7, 0x4141414141)  # r10, the call's fourth argument
    core = tmp_path / "timed.core"
    core.write_bytes(data)
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core)]
    assert subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 12


def test_an_operation_that_waits_for_no_mutex_proves_no_waiter(tmp_path: Path) -> None:
    """FUTEX_WAIT_REQUEUE_PI on a mutex's own word: all other words agree, and the call contradicts them."""
    from tests.test_runtime_without_names import _notes

    data = bytearray(unpack_core("native-abba").read_bytes())
    for _, kind, body, _ in list(_notes(data)):
        if kind == 1 and struct.unpack_from("<q", data, body + 112 + 8 * 15)[0] == 202:
            (operation,) = struct.unpack_from("<Q", data, body + 112 + 8 * 13)
            if operation == 0x80:
                struct.pack_into("<Q", data, body + 112 + 8 * 13, 0x8B)
                break
    core = tmp_path / "requeue.core"
    core.write_bytes(data)
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 12 and sum(len(k["waiters"]) for k in report["locks"]) == 1


def test_a_spin_lock_is_seen_where_the_list_of_files_is_damaged(tmp_path: Path) -> None:
    from tests.test_runtime_without_names import _count_wrong, _damaged

    core = _damaged("waits/spin-abba", _count_wrong, tmp_path)
    argv = [sys.executable, "-m", "dumpwalk", "analyze", str(core)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 12, done.stdout


def test_a_ring_of_inheriting_mutexes_that_the_kernel_would_have_refused_proves_nothing(tmp_path: Path) -> None:
    """The owner words (the lock's own and the struct's) of a healthy queue name one of the waiters: a deadlock that
    FUTEX_LOCK_PI answers with EDEADLK instead of a sleep."""
    from tests.test_runtime_without_names import _offset

    data, truth = bytearray(unpack_core("waits/inherit-slow").read_bytes()), truth_of("waits/inherit-slow")
    mutex = int(next(o["address"] for o in truth["objects"].values() if o["kind"] == "mutex"), 16)
    forged = truth["threads"]["queue-1"]
    struct.pack_into("<I", data, _offset(data, mutex), forged | 0x80000000)
    struct.pack_into("<I", data, _offset(data, mutex + 8), forged)
    core = tmp_path / "forged.core"
    core.write_bytes(data)
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert done.returncode in (11, 12), report["verdict"]
    assert not [f for f in report["findings"] if f["status"] == "hang" or f["confidence"] == "proved"]
