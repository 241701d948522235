"""The fingerprint of a report: what it tells apart and what it does not, and its rules, which are a text file."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Callable, Tuple

import pytest

from dumpwalk.engine import fingerprint as fp
from dumpwalk.jobs.isolation import outcome_of, run_one
from dumpwalk.jobs.job import Task
from dumpwalk.report.model import Frame, Report, Thread
from tests.conftest import CORES
from tests.golden_reports import report_of

MONITORS = "managed/linux-x64-10.0.12-monitor-three"

EXAMPLES = (
    ("leave-out", "role", "finalizer"),
    ("leave-out", "role", "garbage collector"),
    ("leave-out", "role", "runtime service: tiered compilation"),
    ("leave-out", "function", "System.Threading.PortableThreadPool+WorkerThread.WorkerThreadStart"),
    ("leave-out", "function", "System.Threading.TimerQueue.TimerThread"),
    ("leave-out", "function", "System.Net.Sockets.SocketAsyncEngine.EventLoop"),
    ("ground", "module", "libc.so.6"),
    ("ground", "module", "libsystem_kernel.dylib"),
    ("ground", "module", "libcoreclr.so"),
    ("ground", "module", "libstdc++.so.6"),
    ("pass", "module", "System.Private.CoreLib.dll"),
)
"""One thing that each rule takes, in the order of the file."""
NOT_TAKEN = (
    ("role", "main"),
    ("function", "worker::finalizer"),
    ("function", "startup_thread"),
    ("module", "libcache.so"),
    ("module", "MySystem.dll"),
    ("module", "Program.dll"),
)


@cache
def bare(name: str) -> Report:
    """A committed core analysed without lldb and without files."""
    report = outcome_of(run_one(Task(str(CORES / f"{name}.core.xz"), with_lldb=False), 120))
    assert isinstance(report, Report)
    return report


def taken_by(rule: fp.Rule, field: str, value: str) -> bool:
    return rule.field == field and bool(rule.pattern.match(value))


def test_each_rule_takes_what_it_is_there_for():
    rules = fp.rules()
    assert [(r.verb, r.field) for r in rules] == [(verb, field) for verb, field, _ in EXAMPLES]
    for rule, (verb, field, value) in zip(rules, EXAMPLES):
        assert taken_by(rule, field, value), f"{verb} {field} {value}"
        assert next(r for r in rules if taken_by(r, field, value)) == rule


@pytest.mark.parametrize(("field", "value"), NOT_TAKEN)
def test_what_is_the_programs_own_is_taken_by_no_rule(field, value):
    assert [r for r in fp.rules() if taken_by(r, field, value)] == []


@pytest.mark.parametrize(
    "line", ["pass function", "drop function x", "pass address 0x", "pass role main", "pass module ("]
)
def test_a_line_that_is_no_rule_is_told_by_its_number(line):
    with pytest.raises(ValueError, match="line 2"):
        fp.parse(f"# comment\n{line}\n")


@pytest.fixture(scope="module")
def monitors() -> Report:
    return report_of(MONITORS)


def changed(report: Report, thread: Callable[[Thread], Thread]) -> Tuple[Thread, ...]:
    return tuple(thread(t) for t in report.threads)


def frames(change: Callable[[Frame], Frame]) -> Callable[[Thread], Thread]:
    return lambda t: replace(t, frames=tuple(change(f) for f in t.frames))


def test_the_picture_of_a_managed_hang_is_its_own_methods(monitors):
    assert fp.picture(monitors.threads, monitors.modules) == [
        "ManagedHangs.dll!Program+<>c__DisplayClass32_1.<Cycle>b__0",
        "ManagedHangs.dll!Program.Forever",
    ]
    assert monitors.verdict.fingerprint == fp.fingerprint(monitors.threads, monitors.modules)
    assert len(str(monitors.verdict.fingerprint)) == 12


def test_addresses_ids_and_how_many_wait_make_no_difference(monitors):
    moved = changed(monitors, frames(lambda f: replace(f, pc=hex(int(f.pc, 16) + 0x1000))))
    other = tuple(replace(t, index=t.index + 7, tid=(t.tid or 0) + 1000, group=None) for t in moved)
    for threads in (moved, other, (*other, *other), tuple(reversed(other))):
        assert fp.fingerprint(threads, monitors.modules) == monitors.verdict.fingerprint


def test_another_method_is_another_picture(monitors):
    def renamed(f: Frame) -> Frame:
        return replace(f, function="Program.Never") if f.function == "Program.Forever" else f

    again = fp.fingerprint(changed(monitors, frames(renamed)), monitors.modules)
    assert again is not None and again != monitors.verdict.fingerprint


def test_without_identity_there_is_no_fingerprint(monitors):
    def numbered(f: Frame) -> Frame:
        return replace(f, function="Program.dll!06000013") if f.function == "Program.Forever" else f

    assert fp.fingerprint(changed(monitors, frames(numbered)), monitors.modules) is None


@pytest.mark.parametrize("name", ["native-abba", "waits/shared-mutex"])
def test_native_places_are_the_same_with_and_without_files_names_and_lldb(name):
    """Names depend on the files at hand, and every program has a `main`."""
    none = bare(name)
    named = outcome_of(run_one(Task(str(CORES / f"{name}.core.xz"), (str(CORES / "bin"),)), 120))
    assert any(f.function == "main" for t in named.threads for f in t.frames)
    assert none.verdict.fingerprint == named.verdict.fingerprint is not None
    builds = {m.build_id for m in none.modules}
    places = fp.picture(none.threads, none.modules)
    assert places and all(call.split("+")[0] in builds for place in places for call in place.split(" < "))


def test_native_code_without_identity_has_no_fingerprint():
    report = bare("native-abba")
    unknown = tuple(replace(m, build_id=None) for m in report.modules)
    assert fp.fingerprint(report.threads, unknown) is None
    elsewhere = changed(report, frames(lambda f: replace(f, module=None) if f.module == "abba" else f))
    assert fp.fingerprint(elsewhere, report.modules) is None
    guessed = changed(report, frames(lambda f: replace(f, trust="scan") if f.module == "abba" else f))
    assert fp.fingerprint(guessed, report.modules) is None
    cut = changed(report, lambda t: replace(t, frames=t.frames[:3]))
    assert fp.fingerprint(cut, report.modules) is None, "with the files at hand the stacks would go on"


def test_two_programs_with_functions_of_one_name_are_two_pictures():
    report = bare("native-abba")
    other = tuple(replace(m, build_id="00" * 20) if m.path.endswith("abba") else m for m in report.modules)
    assert fp.fingerprint(report.threads, other) not in (None, report.verdict.fingerprint)
    monitors = report_of(MONITORS)
    renamed = changed(
        monitors, frames(lambda f: replace(f, module="Other.dll") if f.module == "ManagedHangs.dll" else f)
    )
    assert fp.fingerprint(renamed, monitors.modules) not in (None, monitors.verdict.fingerprint)


def test_who_calls_the_lock_function_is_part_of_the_place():
    """A lock function that is linked into the program is innermost in every hang of that program."""
    report = bare("native-abba")

    def one_lock_function(thread: Thread) -> Thread:
        own = [n for n, f in enumerate(thread.frames) if f.module == "abba"]
        lock = replace(thread.frames[own[0]], pc=hex(int(thread.frames[own[0]].pc, 16) & ~0xFFF))
        return replace(thread, frames=(*thread.frames[: own[0]], lock, *thread.frames[own[0] :]))

    places = fp.picture(changed(report, one_lock_function), report.modules)
    assert places is not None and len(places) == len(fp.picture(report.threads, report.modules) or [])
    assert len({place.split(" < ")[0] for place in places}) == 1


def test_where_a_thread_runs_its_innermost_pc_is_no_place():
    report = bare("native-abba")
    first = {t.index: [f.module for f in t.frames].index("abba") for t in report.threads}
    running = changed(report, lambda t: replace(t, state="running", frames=t.frames[first[t.index] :]))
    moved = changed(replace(report, threads=running), lambda t: replace(
        t, frames=(replace(t.frames[0], pc=hex(int(t.frames[0].pc, 16) + 4)), *t.frames[1:])))  # fmt: skip
    found = fp.fingerprint(running, report.modules)
    assert found is not None and fp.fingerprint(moved, report.modules) == found


def test_programs_that_wait_in_different_places_have_different_ones():
    found = {bare(f"waits/{name}").verdict.fingerprint for name in ("idle-server", "rwlock-slow", "join-ring")}
    assert len(found) == 3
