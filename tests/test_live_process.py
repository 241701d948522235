"""Live processes: looked at and let go, whatever happens; those that cannot be looked at, with the sentence that says why."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import pytest

from dumpwalk.live.maps import parse
from fixtures import native_live
from fixtures.native_live import Live
from tests.conftest import ROOT

pytestmark = pytest.mark.live


def dumpwalk(*arguments: object, **how: Any) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-m", "dumpwalk", "analyze", *map(str, arguments)]
    how.setdefault("cwd", ROOT)
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **how)


def status(pid: int) -> Dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def goes_on(pid: int) -> bool:
    """Nobody traces it and none of its threads stands."""
    states = [status(int(p.name))["State"][0] for p in Path(f"/proc/{pid}/task").iterdir()]
    return status(pid)["TracerPid"] == "0" and not set(states) & set("tT")


@pytest.fixture(scope="module")
def stuck() -> Iterator[Live]:
    with native_live.running("turns", ["stuck"]) as live:
        yield live


def sentence(*arguments: object, **how: Any) -> Tuple[int, str]:
    done = dumpwalk(*arguments, **how)
    assert done.stdout == "" and done.stderr.startswith("dumpwalk: ") and done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


def test_owner_waiters_and_lock_of_a_live_process(stuck: Live) -> None:
    done = dumpwalk("--pid", stuck.pid, "-f", "json")
    report = json.loads(done.stdout)
    tids = {t["index"]: t["tid"] for t in report["threads"]}
    assert done.returncode == 12 and report["verdict"]["kind"] == "lock-contention"
    (lock,) = [k for k in report["locks"] if k["address"] == f"0x{stuck.locks['turn_lock']:x}"]
    assert (lock["name"], lock["owner"]["tid"]) == ("turn_lock", stuck.threads["owner"])
    assert {tids[w["thread"]] for w in lock["waiters"]} == {
        t for n, t in stuck.threads.items() if n.startswith("wants")
    }
    assert sorted(tids.values()) == sorted(int(p.name) for p in Path(f"/proc/{stuck.pid}/task").iterdir())
    assert report["movement"]["taken_from"] == "the stop of the live process"
    assert {m["switches"] is None for m in report["movement"]["marks"]} == {False}
    assert goes_on(stuck.pid)


def test_an_owner_that_did_not_run_is_stuck_and_its_twin_moves(stuck: Live) -> None:
    done = dumpwalk("--pid", stuck.pid, "--again", "0.6", "-f", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"]["status"]) == (10, "stuck")
    assert "did not run at all" in found["groups"][0]["facts"][-1]
    with native_live.running("turns", ["turns"]) as twin:
        done = dumpwalk("--pid", twin.pid, "--again", "0.6", "-f", "json")
        found = json.loads(done.stdout)
        assert (done.returncode, found["verdict"]["status"]) == (0, "moving")
        assert [t["ran"] for t in found["threads"] if t["tid"] in twin.threads.values()].count(True) >= 3
        assert goes_on(twin.pid)


@pytest.fixture(scope="module")
def crowded() -> Iterator[Live]:
    """200 threads: it stands long enough to be met while it stands."""
    with native_live.running("crowd", ["200"]) as live:
        yield live


@pytest.mark.parametrize("whom", ["dumpwalk", "its child"])
def test_a_killed_dumpwalk_lets_the_process_go(crowded: Live, whom: str) -> None:
    """Killed as soon as the process is traced, until it was met standing twice."""
    stood = 0
    for _ in range(20):
        argv = [sys.executable, "-m", "dumpwalk", "analyze", "--pid", str(crowded.pid), "-f", "json"]
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            end = time.monotonic() + 20
            tracer = 0
            while not tracer and running.poll() is None and time.monotonic() < end:
                tracer = int(status(crowded.pid)["TracerPid"])
            if tracer:
                os.kill(running.pid if whom == "dumpwalk" else tracer, signal.SIGKILL)
                stood += 1
            running.wait(60)
        end = time.monotonic() + 20
        while not goes_on(crowded.pid) and time.monotonic() < end:
            time.sleep(0.01)
        assert goes_on(crowded.pid)
        if stood >= 2:
            return
    assert stood, "no moment was met at which the process stood"


def test_a_process_that_somebody_else_stopped_stays_stopped(tmp_path: Path) -> None:
    with native_live.running("turns", ["stuck"]) as live:
        os.kill(live.pid, signal.SIGSTOP)
        assert dumpwalk("--pid", live.pid, "-o", tmp_path / "r.json").returncode == 12
        assert status(live.pid)["State"][0] == "T"
        os.kill(live.pid, signal.SIGCONT)


def test_a_process_that_is_traced_is_named_with_its_tracer(stuck: Live) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.ptrace(0x4206, stuck.pid, None, None) == 0  # PTRACE_SEIZE, linux/ptrace.h
    try:
        code, said = sentence("--pid", stuck.pid)
    finally:
        libc.ptrace(0x4207, stuck.pid, None, None)  # a thread must stand before it can be let go
        os.waitpid(stuck.pid, 0x40000000)
        libc.ptrace(17, stuck.pid, None, None)
    assert code == 1 and f"is traced already, by process {os.getpid()}" in said


def test_what_is_no_process_to_look_at_is_told(stuck: Live) -> None:
    assert "There is no process 4194305" in sentence("--pid", 4194305)[1]
    thread = next(iter(stuck.threads.values()))
    assert f"{thread} is a thread of process {stuck.pid}" in sentence("--pid", thread)[1]
    with subprocess.Popen(["true"]) as ended:
        end = time.monotonic() + 20
        while status(ended.pid)["State"][0] != "Z" and time.monotonic() < end:
            time.sleep(0.01)
        code, said = sentence("--pid", ended.pid)
        assert code == 1 and "has ended already (a zombie)" in said and str(os.getpid()) in said


@pytest.mark.may_skip  # a kernel without 32-bit programs
def test_a_32_bit_process_is_told(tmp_path: Path) -> None:
    """A program of 94 bytes for i386: pause(2) for ever."""
    code = bytes.fromhex("b81d000000cd80ebf7")  # mov eax, 29 (pause); int 0x80; jmp
    header = struct.pack("<4sBBB9xHHIIIIIHHHHHH", b"\x7fELF", 1, 1, 1, 2, 3, 1, 0x8048054, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, 0x8048000, 0x8048000, 84 + len(code), 84 + len(code), 5, 0x1000)
    program = tmp_path / "tiny"
    program.write_bytes(header + segment + code)
    program.chmod(0o755)
    try:
        running = subprocess.Popen([str(program)])
    except OSError:
        pytest.skip("this kernel runs no 32-bit programs")
    with running:
        code_, said = sentence("--pid", running.pid)
        assert code_ == 1 and "32-bit" in said
        assert goes_on(running.pid)
        running.kill()


@pytest.mark.may_skip  # a checkout below /root is nobody else's
def test_a_process_of_another_user_is_told(stuck: Live, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    script = (
        "import os, sys; os.setgid(65534); os.setuid(65534); sys.path.insert(0, sys.argv[2]);"
        "from dumpwalk.live.target import live_target, CannotTrace, forbidden\n"
        "try: live_target(int(sys.argv[1]))\nexcept CannotTrace as e: print(e.sentence())"
    )
    argv = ["/usr/bin/python3", "-c", script, str(stuck.pid), str(ROOT)]
    said = subprocess.run(argv, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if "PermissionError" in said.stderr or "ModuleNotFoundError" in said.stderr:
        pytest.skip("the checkout cannot be read by another user")
    assert "belongs to user 0, and this is user 65534: run dumpwalk as that user or as root" in said.stdout, said


def test_options_that_do_not_go_together() -> None:
    for arguments, words in (
        (["--again", "3"], "give --pid PID with it"),
        (["--pid", "1", "x.core"], "not both"),
        ([], "Missing argument 'CORE...'"),
        (["--pid", "1", "--fetch"], "--fetch is for cores"),
        (["--pid", "1", "--again", "1", "-f", "dot"], "not as dot"),
    ):
        code, said = sentence(*arguments)
        assert code == 2 and words in said


def test_maps_are_read_as_the_kernel_writes_them() -> None:
    text = (
        b"55d0-55d1 r--p 00000000 fe:00 123    /opt/a b (deleted)\n7f00-7f10 ---p 00000000 00:00 0 \n"
        b"7f20-7f30 rw-p 00001000 fe:00 9 /lib/libc.so.6\n7ff0-7ff1 r--p 00000000 00:00 0    [vvar]\nnonsense\n"
    )
    first, second, third = parse(text)
    assert (first.start, first.end, first.name, first.file, first.readable) == (
        0x55D0,
        0x55D1,
        "/opt/a b (deleted)",
        True,
        True,
    )
    assert (second.readable, second.file) == (False, False) and (third.offset, third.writable) == (0x1000, True)


def test_a_command_that_prints_nothing_is_looked_at_and_ended(tmp_path: Path) -> None:
    """docs/examples/watch-and-look.sh, whose command starts the process that hangs; and one that ends in time."""
    environment = {**os.environ, "DUMPWALK": f"{sys.executable} -m dumpwalk", "DUMPWALK_AGAIN": "0.6"}
    with native_live.running("turns", ["stuck"]) as live:
        program = live.executable.rename(tmp_path / "turns")
    watch = ["sh", str(ROOT / "docs/examples/watch-and-look.sh")]

    def run(*argv: object) -> subprocess.CompletedProcess:
        whole = [*watch, *map(str, argv)]
        how: Dict[str, Any] = {"cwd": ROOT, "env": environment, "stdin": subprocess.DEVNULL, "timeout": 120}
        return subprocess.run(whole, capture_output=True, text=True, check=False, **how)

    done = run(2, tmp_path / "reports", "sh", "-c", f"echo begun; {program} stuck; echo never")
    assert done.returncode == 124 and done.stdout.startswith("begun\n") and "never" not in done.stdout
    assert "dumpwalk-compare: stuck: " in done.stdout
    assert list((tmp_path / "reports").glob("*.core.xz")) and (tmp_path / "reports" / "output.txt").exists()
    done = run(5, tmp_path / "fine", "sh", "-c", "echo fine; exit 3")
    assert done.returncode == 3 and "fine" in done.stdout
