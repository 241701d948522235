"""The fingerprint of a report: what it tells apart and what it does not, and its rules, which are a text file."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Tuple

import pytest

from dumpwalk.engine import fingerprint as fp
from dumpwalk.report.model import Frame, Report, Thread
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
    ("ground", "function", "clone3"),
    ("ground", "module", "libcoreclr.so"),
    ("ground", "function", "CrstBase::Enter"),
    ("ground", "function", "EnterCriticalSection"),
    ("ground", "module", "libstdc++.so.6"),
    ("pass", "function", "std::mutex::lock"),
    ("pass", "function", "pthread_mutex_lock"),
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
        "Program+<>c__DisplayClass32_1.<Cycle>b__0",
        "Program.Forever",
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


def test_native_functions_go_by_build_and_offset_where_they_have_no_name():
    report = report_of("native-abba")
    named = fp.picture(report.threads, report.modules)
    bare = changed(report, frames(lambda f: replace(f, function=None, name_source="none", offset=0x1234)))
    places = fp.picture(bare, report.modules)
    builds = [place.split("+")[0] for place in places or []]
    assert places == [f"{builds[0]}+0x1234"] != named and builds[0] in {m.build_id for m in report.modules}
    unknown = tuple(replace(m, build_id=None) for m in report.modules)
    assert fp.fingerprint(bare, unknown) is None
    assert fp.fingerprint(report.threads, report.modules) == report.verdict.fingerprint


def test_programs_that_wait_in_different_places_have_different_ones():
    found = {report_of(f"waits/{name}").verdict.fingerprint for name in ("idle-server", "rwlock-slow", "join-ring")}
    assert len(found) == 3
