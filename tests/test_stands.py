"""Processes that stand for a reason that is no hang of the program: real cores of each, twins of which nothing of it is said.

All are evidence cores, read without lldb and without files of .NET (fixtures/stands.py makes them).
"""

from __future__ import annotations

import functools
import json
from typing import Any, Dict, Optional

import pytest

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr.last_thrown import last_thrown
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.detectors import crash_dump
from dumpwalk.detectors.pattern_match import pictures
from dumpwalk.engine.run import report_of
from dumpwalk.locks.graph import Node
from dumpwalk.report.model import Report
from dumpwalk.report.sections.findings.phrases import main_finding, others_stuck
from dumpwalk.report.text import render_short
from tests.bare_process import Rewritten, bare_process
from tests.conftest import truth_of


@functools.cache
def _facts(name: str) -> Facts:
    return observe(bare_process(f"stands/{name}"))


def _report(facts: Facts) -> Report:
    return report_of(facts, "stands.core", facts.process.corefile)


def _first(name: str) -> Any:
    """(exit code, status, kind, id of the finding that says why it stands)."""
    report = _report(_facts(name))
    said = next((f.id for f in report.findings if f.kind in ("not-a-hang", "crash")), None)
    return (report.verdict.exit_code, report.verdict.status, report.verdict.kind, said)


SAID: Dict[str, Any] = {
    "starting": (0, "none", "not-a-hang", "not-a-hang-start-up"),
    "ending": (0, "none", "not-a-hang", "not-a-hang-shut-down"),
    "going-on": (0, "none", "nothing-stuck", None),
    "out-of-memory": (0, "none", "crash", "crash"),
    "memory-handled": (0, "none", "nothing-stuck", None),
    "crash-in-gc": (0, "none", "not-a-hang", "not-a-hang-crash-dump-under-way"),
    "crash-under-lock": (0, "none", "not-a-hang", "not-a-hang-crash-dump-under-way"),
    "breakpoint": (0, "none", "not-a-hang", "not-a-hang-debugger-stop"),
    "attached": (0, "none", "nothing-stuck", None),
    # a hang that memory shows comes first, and the reason is told beside it
    "ending-deadlock": (11, "suspicious", "lock-cycle", "not-a-hang-shut-down"),
    "breakpoint-deadlock": (10, "hang", "lock-cycle", "not-a-hang-debugger-stop"),
    "crash-deadlock": (10, "hang", "lock-cycle", "crash"),
    "dlopen-deadlock": (10, "hang", "lock-cycle", None),
    "exit-deadlock": (10, "hang", "lock-cycle", "not-a-hang-shut-down"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_first(name: str) -> None:
    assert _first(name) == SAID[name]


@pytest.mark.parametrize(
    "name, line",
    [
        ("ending-deadlock", "Thread 1 ends the process"),
        ("breakpoint-deadlock", "stands at a breakpoint of the debugger"),
    ],
)
def test_beside_a_hang_it_is_told_on_the_first_screen(name: str, line: str) -> None:
    report = _report(_facts(name))
    assert any(line in one for one in others_stuck(report, main_finding(report)))
    assert line in " ".join(render_short(report, 100).split("What next")[0].split())


def test_a_crash_beside_a_deadlock_names_its_own_thread_and_the_ring_the_others() -> None:
    facts = _facts("crash-deadlock")
    core, report = facts.process.corefile, _report(_facts("crash-deadlock"))
    assert core is not None
    crashed = next(f for f in report.findings if f.kind == "crash").actors[0].thread
    ring = {actor.thread for actor in report.findings[0].actors}
    assert facts.process.threads[crashed - 1].tid == core.crash_thread and crashed not in ring and len(ring) == 2
    assert "received SIGSEGV" in render_short(report, 100).split("Who holds")[0]


def test_a_constructor_under_the_loaders_lock_that_wants_a_lock_of_one_who_loads() -> None:
    facts = _facts("dlopen-deadlock")
    ring = {k.state.address: k for k in facts.locks if k.waiters}
    assert len(ring) == 2 and all(k.holders[0].owner.grade == "proved" for k in ring.values())
    assert [key for key in (p.pattern.key for p in pictures(facts)) if key != "loader-lock"] == []


def test_a_full_heap_is_told_by_the_exception_that_was_thrown_last() -> None:
    report = _report(_facts("out-of-memory"))
    told = truth_of("stands/out-of-memory")
    assert report.verdict.headline == (
        f"CRASH, not a hang: thread 1 (tid {told['pid']}) received SIGABRT, and the dump was made then. "
        "The exception that it threw last is System.OutOfMemoryException: out of memory."
    )
    finding = next(f for f in report.findings if f.kind == "crash")
    claim = finding.evidence[1]
    assert claim.grade == "corroborated" and claim.command == f"memory read -s8 -fx -c1 {claim.address}"
    assert any("handled" in line for line in finding.not_established)


def test_no_crash_is_made_of_an_exception_that_was_handled() -> None:
    """The twin's thread threw the same exception, caught it, and goes on."""
    assert "OutOfMemory" not in json.dumps(_report(_facts("memory-handled")), default=str)


@pytest.mark.parametrize("value", [0, 0x1001, 0xDEAD0000, None])
def test_a_damaged_handle_gives_no_exception(value: Optional[int], monkeypatch: pytest.MonkeyPatch) -> None:
    facts = _facts("out-of-memory")
    around = facts.around
    record = around.record(facts.process.threads[0]) if around is not None else None
    assert around is not None and record is not None and last_thrown(around, record) is not None
    words = {
        record.thrown_address: value if value is not None else record.address
    }  # a Thread is no handle of an exception
    monkeypatch.setattr(around.process, "memory", Rewritten(around.process.memory, words))
    assert last_thrown(around, record) is None


def test_who_waits_for_createdump_is_known_without_any_name() -> None:
    facts = _facts("crash-in-gc")
    found = crash_dump.by_call(facts)
    assert found is not None and crash_dump.waiter(facts) is found[0]
    assert found[1].grade == "corroborated" and found[1].what.endswith("a child process of the runtime: createdump")
    names = [f.function for f in found[0].frames() if f.function]
    assert not any("CrashDump" in name for name in names)  # the runtime of this core has no symbols
    assert crash_dump.by_call(_facts("going-on")) is None
    report = _report(facts)
    assert report.verdict.headline.startswith(f"CRASH, not a hang: thread {found[0].index} waits for a child process")
    assert facts.suspension is not None and facts.suspension.suspender is found[0]


def test_a_child_that_is_only_asked_after_is_not_createdump(monkeypatch: pytest.MonkeyPatch) -> None:
    """WNOHANG in the third argument of wait4."""
    facts = observe(bare_process("stands/crash-in-gc"))
    thread = next(w.thread for w in facts.waits if w.call.kind == "wait")
    thread.registers = {**thread.registers, "rdx": 1}
    assert crash_dump.by_call(observe(facts.process)) is None


def test_a_suspension_that_waits_for_the_crashing_thread_is_no_hang() -> None:
    """Rewritten memory: another thread suspends the runtime, and the crashing one is in cooperative mode."""
    plain = _facts("crash-in-gc")
    managed, crashing = plain.managed, crash_dump.waiter(plain)
    assert managed is not None and crashing is not None
    record = next(t for t in managed.threads if t.os_tid == crashing.tid)
    other = next(t for t in managed.threads if t.os_tid not in (None, 0, crashing.tid) and not t.is_finalizer)
    word = record.mode_address & ~7
    before = int.from_bytes(plain.process.memory.read(word, 8) or b"", "little")
    mode = before & 0xFFFFFFFF | 1 << 32 if record.mode_address % 8 else before & ~0xFFFFFFFF | 1
    process = bare_process("stands/crash-in-gc")
    table = plain.of(RuntimeView).table
    assert table is not None
    place = table.globals["g_pSuspensionThread"]
    process.memory = Rewritten(process.memory, {place: other.address, word: mode})
    facts = observe(process)
    assert facts.suspension is not None and [t.tid for t in facts.suspension.blocking] == [crashing.tid]
    report = _report(facts)
    assert (report.verdict.status, report.verdict.kind) == ("none", "not-a-hang")
    finding = next(f for f in report.findings if f.kind == "not-a-hang")
    assert "A suspension of the runtime waits for this thread." in finding.summary


def test_who_waits_behind_the_crashing_thread_is_told_as_a_note() -> None:
    report = _report(_facts("crash-under-lock"))
    note = next(f for f in report.findings if f.kind == "lock-contention")
    assert note.status == "none" and not any(f.kind == "external-wait" and f.status != "none" for f in report.findings)
    assert "System.AccessViolationException" in report.verdict.headline


def test_the_code_of_a_breakpoint_is_in_the_notes_and_that_of_a_stop_is_not() -> None:
    stopped, attached = _facts("breakpoint").process.corefile, _facts("attached").process.corefile
    assert stopped is not None and stopped.trapped is not None and stopped.trapped[1] == 0x80  # SI_KERNEL: int3 of x86
    assert attached is not None and attached.trapped is None and attached.producer == stopped.producer == "gcore"


def test_the_process_end_under_a_lock_that_its_handler_wants() -> None:
    """Since 5 the finalizer thread runs the handlers, and Exit waits for it: no edge of that is proved."""
    facts = _facts("ending-deadlock")
    report = _report(facts)
    finding = report.findings[0]
    assert finding.kind == "lock-cycle" and finding.status == "suspicious"
    assert (
        finding.summary[1].startswith("Thread 6 (tid ")
        and "runs the handlers of the process's end" in finding.summary[1]
    )
    assert finding.consistent_with == (
        "Environment.Exit called under a lock that a handler of the process's end wants.",
    )
    assert Node("finalizer", 1) in {edge.source for edge in facts.graph.edges}
