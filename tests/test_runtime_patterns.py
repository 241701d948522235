"""Known pictures of the runtime's own hangs, and what is no hang at all: real processes that show each, twins that do not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest

from dumpwalk.analysis.observe import observe
from dumpwalk.core.names import ranges
from dumpwalk.core.process import Frame, no_registers
from dumpwalk.detectors import hang_patterns, pattern_match
from dumpwalk.detectors.hang_patterns import FAR, PATTERNS, Pattern, Role
from dumpwalk.detectors.pattern_match import pictures
from dumpwalk.engine.run import report_of
from fixtures import packages
from fixtures import pictures as scenes
from tests.bare_process import Rewritten, bare_process
from tests.conftest import ROOT


def _reports(cores: Sequence[Path], *options: str) -> List[Dict[str, Any]]:
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", *map(str, cores), *options]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)


def _found(report: Dict[str, Any], kind: str) -> Dict[str, Any]:
    return {f["id"][len(kind) + 1 :]: f for f in report["findings"] if f["kind"] == kind}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Dict[str, Any]]:
    """The report of each C program."""
    folder = tmp_path_factory.mktemp("native")
    scenes.compile_native(folder)
    cores = [scenes.native_core(name, folder) for name in scenes.NATIVE]
    return dict(zip(scenes.NATIVE, _reports(cores, "-m", str(folder))))


def test_a_lock_wanted_inside_a_signal_handler(native: Dict[str, Any]) -> None:
    report, twin = native["handler-lock"], native["handler-sleep"]
    assert (report["verdict"]["kind"], report["verdict"]["exit_code"]) == ("lock-cycle", 10)
    note = _found(report, "runtime-pattern")["signal-handler"]
    assert note["status"] == "none" and note["confidence"] == "inferred"
    assert "issue 63370" in note["title"] and "pthread_mutex_lock <- __restore_rt" in note["evidence"][0]["how"]
    assert not _found(twin, "runtime-pattern") and twin["verdict"]["kind"] == "nothing-stuck"


def test_the_loaders_lock_has_its_name_and_its_owner(native: Dict[str, Any]) -> None:
    report, twin = native["loader-slow"], native["loader-done"]
    lock = next(k for k in report["locks"] if k["waiters"])
    assert lock["name"] == "_rtld_global._dl_load_lock" and lock["owner"]["grade"] == "proved"
    note = _found(report, "runtime-pattern")["loader-lock"]
    by_role = {e["what"]: e for e in note["evidence"]}
    assert f"thread {lock['waiters'][0]['thread']} waits for the loader's lock" in by_role
    assert f"thread {lock['owner']['thread']} is inside dlopen" in by_role
    assert not _found(twin, "runtime-pattern")


def test_a_process_that_ends_is_told_first_and_is_not_called_nothing_stuck(native: Dict[str, Any]) -> None:
    report, twin = native["ending-exit"], native["ending-main"]
    verdict = report["verdict"]
    assert (verdict["status"], verdict["kind"], verdict["exit_code"]) == ("none", "not-a-hang", 0)
    assert (
        verdict["line"] == "dumpwalk-verdict: none not-a-hang: not a hang of the program: the process is ending [sig -]"
    )
    assert verdict["headline"].startswith("THE PROCESS IS ENDING, not a hang of its work: thread 1")
    assert any(line.startswith("Its stack: ") and " <- exit <- " in line for line in report["findings"][0]["summary"])
    assert twin["verdict"]["kind"] == "nothing-stuck"


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Dict[str, Any]]:
    """The report of each mode of the program on 3.1.23."""
    folder = tmp_path_factory.mktemp("managed")
    cores = []
    for mode in ("jit", "crash"):
        (folder / mode).mkdir()
        cores.append(folder / f"{mode}.core")
        scenes.managed(mode, folder / mode, cores[-1])
    return dict(zip(("jit", "crash"), _reports(cores, "-m", str(packages.framework_folder()))))


def test_threads_that_wait_for_a_method_to_be_compiled(managed: Dict[str, Any]) -> None:
    report = managed["jit"]
    assert report["verdict"]["status"] == "none"
    found = _found(report, "runtime-pattern")
    assert list(found) == ["jit-lock"]  # not tiering-locks, whose functions stand further out on the same stacks
    lock = next(k for k in report["locks"] if len(k["waiters"]) == 3)
    assert "JIT" in lock["name"]
    waiting = [w["thread"] for w in lock["waiters"]]
    assert found["jit-lock"]["evidence"][0]["what"] == f"threads {ranges(waiting)} wait for a method to be compiled"
    assert found["jit-lock"]["evidence"][1]["what"] == f"thread {lock['owner']['thread']} compiles a method"


def test_a_dump_taken_while_createdump_works_is_a_crash(managed: Dict[str, Any]) -> None:
    report = managed["crash"]
    verdict = report["verdict"]
    assert (verdict["status"], verdict["kind"], verdict["exit_code"]) == ("none", "not-a-hang", 0)
    assert verdict["headline"] == (
        "CRASH, not a hang: thread 1 waits for createdump. "
        "The exception that it threw last is System.AccessViolationException."
    )
    assert "nothing stuck" not in json.dumps(verdict).lower()
    finding = _found(report, "not-a-hang")["crash-dump-under-way"]
    assert any("PROCCreateCrashDump <- " in line for line in finding["summary"])
    assert not _found(managed["jit"], "not-a-hang")


def test_a_debugger_that_asked_the_threads_to_stop_is_told_by_their_state_words() -> None:
    """Rewritten memory: one bit of m_State in a core of a sound process; the twin is the core as it was."""
    name = "healthy"
    plain = observe(bare_process(name))
    assert plain.managed is not None and not [p for p in pictures(plain) if p.pattern.headline]
    record = next(t for t in plain.managed.threads if t.os_tid and t.state is not None)
    word = record.address + 8
    before = int.from_bytes(plain.process.memory.read(word, 8) or b"", "little")
    assert before & 0xFFFFFFFF == record.state
    process = bare_process(name)
    process.memory = Rewritten(process.memory, {word: before | 0x8})
    report = report_of(observe(process), "rewritten.core", process.corefile)
    assert report.verdict.headline.startswith("DEBUGGER STOP, not a hang of the program")
    finding = next(f for f in report.findings if f.kind == "not-a-hang")
    assert finding.id == "not-a-hang-debugger-stop" and finding.evidence[0].grade == "corroborated"


# Rewritten stacks: every row of the table is played by threads whose frames are made to have its functions, in a real core.


@pytest.fixture(scope="module")
def sound() -> Any:
    return observe(bare_process("healthy"))


def _played(sound: Any, pattern: Pattern, monkeypatch: pytest.MonkeyPatch, change: Optional[str] = None) -> List[str]:
    """The rows that fit when threads play this one; `change` spoils it: another order, a lacking role, the other state."""
    monkeypatch.delitem(sound.__dict__, "_pictures", raising=False)
    monkeypatch.setattr(sound.process, "os", pattern.systems[0])
    threads = list(sound.process.threads)
    waits = {wait.thread.index: wait for wait in sound.waits}
    monkeypatch.setattr(sound, "wait_of", lambda thread: waits[thread.index], raising=False)
    for thread in threads:
        monkeypatch.setattr(thread, "_frames", ())
    roles: List[Tuple[Role, int]] = [(role, n) for role in pattern.roles for n in range(role.least)]
    for thread, (role, _) in zip(threads, roles[:-1] if change == "a role lacks" else roles):
        groups = [next(one for one in group if one != FAR).replace("*", "") for group in role.frames]
        if change == "another order":
            groups.reverse()
        names = ["libc_function", *groups, *(role.without if change == "normal work" else ())]
        frames = [
            Frame(i, 0x1000 + i, None, n, 0, "symbol", "cfi", False, no_registers, None, "lldb")
            for i, n in enumerate(names)
        ]
        monkeypatch.setattr(thread, "_frames", tuple(frames))
        inside = {"waiting": True, "running": False, "any": True}[role.state]
        if change == "the other state" and role.state != "any":
            inside = not inside
        wait = waits[thread.index]
        waits[thread.index] = replace(wait, call=type(wait.call)(inside, "other", (), ""))
    return [p.pattern.key for p in pictures(sound)]


@pytest.mark.parametrize("pattern", PATTERNS, ids=[p.key for p in PATTERNS])
def test_each_row_fires_where_all_its_roles_are_played_and_not_else(
    pattern: Pattern, sound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pattern.key in _played(sound, pattern, monkeypatch)
    assert pattern.key not in _played(sound, pattern, monkeypatch, "a role lacks")
    if any(len(role.frames) > 1 for role in pattern.roles):
        assert pattern.key not in _played(sound, pattern, monkeypatch, "another order")
    if all(role.state != "any" for role in pattern.roles):
        assert pattern.key not in _played(sound, pattern, monkeypatch, "the other state")
    if any(role.without for role in pattern.roles):
        assert pattern.key not in _played(sound, pattern, monkeypatch, "normal work")


def test_a_row_is_data_and_a_new_one_needs_no_code(sound: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Pattern("mine", "a thread is in my code", (Role("is there", (("my::*",),), "any"),), ("1",), "All.")
    monkeypatch.setattr(pattern_match, "PATTERNS", (row,))
    assert _played(sound, row, monkeypatch) == ["mine"]


def test_every_row_says_what_it_resembles_and_each_has_a_key_of_its_own() -> None:
    for row in PATTERNS:
        assert row.resembles and row.not_shown.endswith(".")
        assert all(re.fullmatch(r"(coreclr#|corefx#)?\d{3,6}", issue) for issue in row.resembles)
    assert len({row.key for row in PATTERNS}) == len(PATTERNS) == len(hang_patterns.PATTERNS)
