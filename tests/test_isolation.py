"""A debugger that crashes, hangs or takes all memory costs its own part of the report and nothing else."""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from dumpwalk.debugger.discovery import discover
from tests.broken_lldb import break_lldb
from tests.conftest import ROOT, unpack_core

HANG = "macho/incident-x64-10.0.9"
NATIVE = "native-three"


@pytest.fixture
def place(tmp_path):
    """A temporary folder for dumpwalk that has to be empty afterwards, and a current folder."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    return tmp_path


def start(
    place: Path, *arguments: object, env: Optional[Dict[str, str]] = None, memory: int = 0, file_size: int = -1
) -> subprocess.Popen:
    def limit() -> None:
        if memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        if file_size >= 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    return subprocess.Popen(
        [sys.executable, "-m", "dumpwalk", *map(str, arguments)],
        cwd=place / "here",
        env={**os.environ, "NO_COLOR": "1", "TMPDIR": str(place / "tmp"), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=limit,
    )


def run(place: Path, *arguments: object, **more) -> subprocess.CompletedProcess:
    process = start(place, *arguments, **more)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    assert leftovers(place) == []
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def leftovers(place: Path) -> List[str]:
    return sorted(p.name for top in ("tmp", "here") for p in (place / top).iterdir())


def coverage(report: dict) -> Dict[str, dict]:
    return {entry["area"]: entry for entry in report["coverage"]}


def children_of(pid: int) -> List[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def wait_for(what, seconds: float = 30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    pytest.fail("did not happen in time")


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("where", "how", "sentence"),
    [
        ("load", "crash", 'crashed (SIGSEGV) in the phase "loading the core in lldb"'),
        ("load", "abort", 'crashed (SIGABRT) in the phase "loading the core in lldb"'),
        ("load", "exit", 'ended without a word (status 7) in the phase "loading the core in lldb"'),
        ("load", "hang", 'did not finish within 3.15 seconds in the phase "loading the core in lldb"'),
        ("frames", "crash", 'crashed (SIGSEGV) in the phase "stacks"'),
        ("import", "crash", 'crashed (SIGSEGV) in the phase "loading lldb"'),
    ],
)
def test_a_broken_debugger_costs_the_stacks_and_the_sentence_names_the_phase(place, where, how, sentence):
    env = break_lldb(place, where, how)
    done = run(place, "analyze", "-f", "json", "--timeout", 5, unpack_core(HANG), env=env)
    assert (place / "log").read_text().count("\n") == 1, "the broken debugger was asked once"
    report = json.loads(done.stdout)
    assert done.returncode == 10, done.stderr
    assert report["verdict"]["kind"] == "dispatch-cache-cycle"
    assert coverage(report)["stacks"]["status"] in ("partial", "none")
    assert sentence in coverage(report)["stacks"]["why"]
    assert coverage(report)["dispatch-cache"]["status"] == "complete"


def test_memory_that_blows_up_ends_the_child_only(place):
    env = break_lldb(place, "load", "allocate")
    done = run(place, "analyze", "-f", "json", unpack_core(HANG), env=env, memory=900 << 20)
    report = json.loads(done.stdout)
    assert done.returncode == 10, done.stderr
    assert 'ran out of memory in the phase "loading the core in lldb"' in coverage(report)["stacks"]["why"]


def test_the_verdict_is_the_same_with_and_without_the_debugger(place):
    whole = json.loads(run(place, "analyze", "-f", "json", unpack_core(HANG)).stdout)
    env = break_lldb(place, "load", "crash")
    bare = json.loads(run(place, "analyze", "-f", "json", unpack_core(HANG), env=env).stdout)
    assert whole["verdict"]["line"] == bare["verdict"]["line"]
    assert coverage(whole)["stacks"]["why"] != coverage(bare)["stacks"]["why"]
    assert whole["dispatch_cache"] == bare["dispatch_cache"]


def test_the_other_cores_go_on(place):
    shutil.copy(unpack_core(HANG), place / "bad.core")
    env = break_lldb(place, "load", "hang", only="bad.core")
    paths = [unpack_core(NATIVE), place / "bad.core", unpack_core(HANG), ROOT / "README.md", place / "absent"]
    done = run(place, "analyze", "-f", "json", "--timeout", 6, *paths, env=env)
    first, bad, good, text, absent = json.loads(done.stdout)
    assert done.returncode == 10
    assert first["verdict"]["kind"] == "lock-cycle"
    assert "did not finish" in coverage(bad)["stacks"]["why"] and bad["verdict"]["exit_code"] == 10
    assert "did not finish" not in coverage(good)["stacks"]["why"] and good["verdict"]["exit_code"] == 10
    assert text["exit_code"] == 1 and text["path"] == str(ROOT / "README.md")
    assert absent["exit_code"] == 1 and "no such file" in absent["error"]


@pytest.mark.parametrize("seconds", ["0.02", "0.2"])
def test_no_time_at_all_is_a_sentence_and_exit_1_or_what_could_be_done(place, seconds):
    done = run(place, "analyze", "--timeout", seconds, unpack_core(HANG))
    if done.returncode == 1:
        assert done.stdout == ""
        assert "no result within" in done.stderr and "--timeout" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    else:
        assert done.returncode in (10, 12) and "dumpwalk-verdict:" in done.stdout


def test_time_that_ends_in_the_middle_keeps_what_is_known(place):
    """The second child's phases end by themselves: what was found before is reported, the rest is said to be unknown."""
    from dumpwalk.analysis.budget import OutOfTime
    from dumpwalk.analysis.steps import managed_threads as collecting
    from dumpwalk.engine import run as engine

    def late(*arguments):
        raise OutOfTime

    original = collecting.read_threads
    collecting.read_threads = late
    try:
        report = engine.analyze_core(str(unpack_core(HANG)), engine.Options(), None, str(place), why_bare="not used")
    finally:
        collecting.read_threads = original
    areas = {c.area: c for c in report.coverage}
    assert report.verdict.kind == "dispatch-cache-cycle"
    assert areas["managed-threads"].status == "none"
    assert 'time limit was reached in the phase "managed threads"' in areas["managed-threads"].why


def test_time_that_ends_in_the_stacks_leaves_the_rest_its_time(place):
    """A real alarm: unwinding takes for ever, everything else is still looked at and keeps the verdict."""
    code = f"""
import json, sys, time
sys.path.insert(0, {str(ROOT)!r})
from dumpwalk.analysis.budget import Alarm
from dumpwalk.analysis.steps import stacks
from dumpwalk.engine import run as engine
from dumpwalk.report.json_format import to_dict
def endless(*arguments):
    while True:
        time.sleep(0.001)
stacks.unwind = endless
alarm = Alarm(4)
core = {str(unpack_core(HANG))!r}
report = engine.analyze_core(core, engine.Options(), None, {str(place)!r}, why_bare="lldb crashed", alarm=alarm)
print(json.dumps(to_dict(report)))
"""
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"]["kind"] == "dispatch-cache-cycle", done.stderr
    assert coverage(report)["stacks"]["status"] == "none"
    assert coverage(report)["stacks"]["why"] == 'lldb crashed; the time limit was reached in the phase "stacks"'
    assert coverage(report)["dispatch-cache"]["status"] == "complete"


def test_time_that_ends_before_the_cache_is_never_called_healthy(place):
    from dumpwalk.analysis.budget import OutOfTime
    from dumpwalk.engine import run as engine

    def late(*arguments):
        raise OutOfTime

    healthy = unpack_core("healthy")
    assert engine.analyze_core(str(healthy), engine.Options(), None, str(place)).verdict.status == "none"
    for step, name in (
        ("runtime", "read_runtime"),
        ("stacks", "unwind"),
        ("dispatch_cache", "look_for_cache"),
        ("chain_walks", "find_walkers"),
        ("locks", "read_all"),
    ):
        home = importlib.import_module(f"dumpwalk.analysis.steps.{step}")
        original = getattr(home, name)
        setattr(home, name, late)
        try:
            report = engine.analyze_core(str(healthy), engine.Options(), None, str(place))
        finally:
            setattr(home, name, original)
        assert (report.verdict.status, report.verdict.kind) == ("inconclusive", "stopped-early"), name


def hanging(place: Path) -> tuple:
    """A run whose child hangs: (process, pid of the child)."""
    env = break_lldb(place, "load", "hang")
    packed = ROOT / "fixtures" / "cores" / f"{HANG}.core.xz"  # so that there is a decompressed copy to leave behind
    process = start(place, "analyze", packed, env=env)
    child = wait_for(lambda: (place / "log").exists() and (place / "log").read_text().split())[0]
    assert leftovers(place) != []
    return process, int(child)


@pytest.mark.parametrize(
    ("number", "group"),
    [
        (signal.SIGINT, True),
        (signal.SIGINT, False),
        (signal.SIGTERM, False),
        (signal.SIGHUP, False),
    ],
)
def test_a_stop_ends_the_child_and_removes_the_files(place, number, group):
    process, child = hanging(place)
    (os.killpg if group else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.strip() == "dumpwalk: interrupted." and out == ""
    assert not alive(child)
    assert leftovers(place) == []


def test_a_stop_with_several_cores_under_way(place):
    env = break_lldb(place, "load", "hang")
    process = start(place, "analyze", unpack_core(HANG), unpack_core(NATIVE), unpack_core(NATIVE), env=env)
    wanted = min(2, len(os.sched_getaffinity(0)))
    children = wait_for(
        lambda: (
            (place / "log").exists()
            and len((place / "log").read_text().split()) >= wanted
            and ((place / "log").read_text().split())
        )
    )
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    assert not any(alive(int(pid)) for pid in children)
    assert leftovers(place) == []


def test_no_child_outlives_a_parent_that_is_killed_and_the_next_run_tidies_up(place):
    process, child = hanging(place)
    process.kill()
    process.communicate(timeout=20)
    wait_for(lambda: not alive(child))
    (left,) = leftovers(place)
    assert (place / "tmp" / left).stat().st_mode & 0o777 == 0o700
    young = start(place, "analyze", unpack_core(NATIVE))
    young.communicate(timeout=60)
    assert leftovers(place) == [left], "too young to be called abandoned"
    old = time.time() - 3600
    os.utime(place / "tmp" / left, (old, old))
    run(place, "analyze", unpack_core(NATIVE))


def test_a_folder_in_use_is_not_swept(place, monkeypatch):
    from dumpwalk import scratch

    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    with scratch.private_folder() as folder:
        os.utime(folder, (1, 1))
        other = place / "tmp" / "dumpwalk-someone"
        other.mkdir(mode=0o755)
        os.utime(other, (1, 1))
        assert scratch.sweep() == 0
        assert os.path.isdir(folder) and other.is_dir()
    assert not os.path.exists(folder)


def other_python(place: Path, embedded: bool, broken: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """An lldb that says it belongs to a Python of another name, or to none but the one inside it."""
    found = discover({})
    assert found.lldb_binary and found.pythonpath
    python = place / "another-python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    told = {"lldb-pythonpath": (broken or {}).get("DUMPWALK_LLDB_MODULE", found.pythonpath)}
    if not embedded:
        told["executable"] = str(python)
    program = place / "lldb"
    program.write_text(
        "#!/bin/sh\n"
        f"case \"$*\" in *--print-script-interpreter-info*) echo '{json.dumps(told)}';;"
        f' *) exec {found.lldb_binary} "$@";; esac\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return {"DUMPWALK_LLDB": str(program)}


@pytest.mark.parametrize("embedded", [False, True])
def test_the_child_under_another_python(place, embedded):
    env = other_python(place, embedded)
    done = run(place, "analyze", "-f", "json", unpack_core(HANG), env=env)
    report = json.loads(done.stdout)
    assert done.returncode == 10, done.stderr
    assert report["tool"]["lldb"] is not None
    assert "without a debugger" not in coverage(report)["stacks"]["why"]
    mine = json.loads(run(place, "analyze", "-f", "json", unpack_core(HANG)).stdout)
    assert mine == report


def test_the_child_is_started_as_a_program_where_a_fork_is_not_safe(monkeypatch):
    """What macOS does, made here: only the parent is told that it is a Mac."""
    from types import SimpleNamespace

    from dumpwalk.engine.run import Options
    from dumpwalk.jobs import child, isolation

    cores = [str(unpack_core(HANG)), str(unpack_core(NATIVE))]
    forked = isolation.analyze_all(cores, Options(), 60)
    monkeypatch.setattr(child, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(child, "_fork", lambda *arguments: pytest.fail("forked"))
    assert isolation.analyze_all(cores, Options(), 60) == forked


def test_under_another_python_a_crash_is_a_sentence_too(place):
    env = other_python(place, False, break_lldb(place, "load", "crash"))
    done = run(place, "analyze", "-f", "json", unpack_core(HANG), env=env)
    assert done.returncode == 10, done.stderr
    assert "crashed (SIGSEGV)" in coverage(json.loads(done.stdout))["stacks"]["why"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_under_another_python_no_child_is_left_either(place, number):
    env = other_python(place, False, break_lldb(place, "load", "hang"))
    process = start(place, "analyze", unpack_core(HANG), env=env)
    (child,) = wait_for(lambda: (place / "log").exists() and (place / "log").read_text().split())
    assert children_of(process.pid) == [int(child)]
    os.kill(process.pid, number)
    process.communicate(timeout=20)
    wait_for(lambda: not alive(int(child)))


def test_a_process_that_cannot_be_started_is_a_sentence(monkeypatch):
    from dumpwalk.engine.run import Options
    from dumpwalk.jobs import isolation

    def refuse(*arguments):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(isolation, "start", refuse)
    (failed,) = isolation.analyze_all([str(unpack_core(NATIVE))], Options(), 60)
    assert failed.exit_code == 1
    assert "could not be started (Resource temporarily unavailable)" in failed.error


def test_a_crash_with_much_memory_in_use_says_so():
    from dumpwalk.jobs.child import _crashed

    assert _crashed(signal.SIGABRT, 300 << 20) == "crashed (SIGABRT)"
    assert _crashed(signal.SIGKILL, 17 << 30) == "crashed (SIGKILL) with 17 GiB of memory in use"


@pytest.mark.may_skip
def test_many_open_files_in_the_caller_do_no_harm():
    """A descriptor above 1023, as a program that uses the package may have."""
    from dumpwalk.engine.run import Options
    from dumpwalk.jobs import isolation

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("not so many files can be opened here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        (report,) = isolation.analyze_all([str(unpack_core(NATIVE))], Options(), 60)
        assert report.verdict.kind == "lock-cycle"
    finally:
        for handle in opened:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def bounds(place: Path, env: Dict[str, str], *cores: str) -> List[int]:
    """What each child may take of memory, as it says itself when it loads its core."""
    (place / "log.bound").unlink(missing_ok=True)
    done = run(place, "analyze", "-f", "json", *map(unpack_core, cores), env=env)
    assert done.returncode == 10, done.stderr
    return [int(line) for line in (place / "log.bound").read_text().split()]


def test_the_memory_bound_is_shared_by_children_side_by_side(place):
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    env = break_lldb(place, "load", "tell")
    (alone,) = bounds(place, env, HANG)
    both = bounds(place, env, HANG, NATIVE)
    assert whole // 20 < alone < whole
    assert len(both) == 2 and sum(both) < whole
    if (os.cpu_count() or 1) > 1:  # so many run at a time
        assert max(both) < 0.7 * alone
