"""What only some dumps show: real cores with one thing changed, so that the fact is the only way to the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

import pytest

from dumpwalk.analysis.observe import observe
from dumpwalk.core.process import Frame, Process, Thread, no_registers
from dumpwalk.coreclr.managed_threads import read_threads
from dumpwalk.coreclr.runtime import identify
from dumpwalk.engine.run import analyze_process, report_of
from dumpwalk.report.model import Report
from tests.bare_process import bare_process, rewrite
from tests.conftest import truth_of
from tests.real_cores import analyze, tids

TRUTH = truth_of("hang-self")
LOCK = int(TRUTH["lock"], 16)
TEN = "samples/linux-x64-10.0.12-hang-sample"
FUTEX_WAIT_PRIVATE = 0x80


def _report(process: Process) -> Report:
    return report_of(observe(process), "core", process.corefile)


def _thread(process: Process, tid: int) -> Thread:
    return next(t for t in process.threads if t.tid == tid)


def changed_thread(
    process: Process, tid: int, registers: Dict[str, int], functions: Optional[List[str]] = None
) -> None:
    """The thread with other registers, and with frames of these symbols where they are given."""
    old = _thread(process, tid)
    new = replace(old, registers={**old.registers, **registers})
    if functions is not None:
        frames = [
            Frame(
                i,
                0x1000 + i,
                None,
                name,
                8,
                "symbol",
                "cfi",
                managed=False,
                registers=no_registers,
                sp=None,
                unwinder="lldb",
            )
            for i, name in enumerate(functions)
        ]
        new = replace(new, unwind=lambda: (list(frames), None), _frames=None)
    process.threads[process.threads.index(old)] = new


def _lock(report: Report, address: int) -> Any:
    return next(k for k in report.locks if k.address == f"0x{address:x}")


def _not_in_a_call(process: Process, tid: int) -> Dict[str, int]:
    """Two bytes before the system call of a thread that waits: the instruction at its pc is none then."""
    return {"rip": _thread(process, tid).registers["rip"] - 2, "orig_rax": (1 << 64) - 1}


# --- a thread that takes the lock and has not reached the system call


@pytest.mark.parametrize("register", ["rbx", "r15"])
def test_thread_just_before_its_system_call_is_a_waiter_by_frame_and_register(register: str) -> None:
    process = bare_process("hang-self")
    tid = TRUTH["waiters"][2]
    registers = {**_not_in_a_call(process, tid), **dict.fromkeys(process.arch.general, 0), register: LOCK}
    changed_thread(
        process, tid, registers, ["InternalEnterCriticalSection", "CrstBase::Enter()", "DispatchCache::Insert()"]
    )
    report = _report(process)
    waiter = next(w for w in _lock(report, LOCK).waiters if w.thread == _thread(process, tid).index)

    assert waiter.grade == "corroborated"
    assert waiter.how == f"CrstBase::Enter is on its stack and {register} of frame 0 is 0x{LOCK:x}"


@pytest.mark.parametrize(("function", "value"), [("CrstBase::Enter()", LOCK + 8), ("CrstBase::Leave()", LOCK)])
def test_frame_or_register_alone_makes_no_waiter(function: str, value: int) -> None:
    process = bare_process("hang-self")
    tid = TRUTH["waiters"][2]
    registers = {**_not_in_a_call(process, tid), **dict.fromkeys(process.arch.general, 0), "rbx": value}
    changed_thread(process, tid, registers, [function, "Somebody::Else()"])
    report = _report(process)
    assert _thread(process, tid).index not in {w.thread for w in _lock(report, LOCK).waiters}


# --- names of locks


def _two_waiters_elsewhere(callers: Tuple[str, str]) -> Report:
    """Two waiters of the real lock, moved to a Crst of their own 0x100 bytes below a stack, entered from these functions."""
    truth = truth_of(TEN)
    process = bare_process(TEN)
    mutex = (_thread(process, truth["waiters"][0]).registers["rsp"] - 0x2000) & ~0xFF
    owner = truth["waiters"][5]
    # pthread_mutex_t: lock 2, count 1, owner, nusers 1, kind recursive; the Crst's flags word at +0x40
    words = {mutex: 2 | 1 << 32, mutex + 8: owner | 1 << 32, mutex + 16: 1, mutex + 0x40: 0x80000000}
    process = rewrite(process, words)
    for tid, caller in zip(truth["waiters"][:2], callers):
        changed_thread(process, tid, {"rdi": mutex, "rsi": FUTEX_WAIT_PRIVATE, "rdx": 2}, ["CrstBase::Enter()", caller])
    return _report(process)


def test_lock_is_named_by_the_functions_that_enter_it() -> None:
    report = _two_waiters_elsewhere(("ClassLoader::LoadTypeHandleForTypeKey_Body(int)",) * 2)
    lock = next(k for k in report.locks if report.dispatch_cache and k.address != report.dispatch_cache.lock)
    assert (lock.name, lock.name_source, len(lock.waiters)) == ("PendingTypeLoadEntry::m_Crst", "caller", 2)


def test_callers_that_disagree_name_no_lock() -> None:
    report = _two_waiters_elsewhere(("ClassLoader::LoadTypeHandleForTypeKey_Body(int)", "IdDispenser::NewId(Thread*)"))
    lock = next(k for k in report.locks if report.dispatch_cache and k.address != report.dispatch_cache.lock)
    assert (lock.name, lock.name_source) == (None, None)


def test_lock_of_the_thread_store_is_known_by_its_place() -> None:
    truth = truth_of(TEN)
    process = bare_process(TEN)
    runtime = identify(process)
    assert runtime is not None
    store = read_threads(process, runtime).store
    assert store
    mutex = store + 0x10
    owner = truth["waiters"][5]
    process = rewrite(process, {mutex: 2 | 1 << 32, mutex + 8: owner | 1 << 32, mutex + 16: 1})
    changed_thread(process, truth["waiters"][0], {"rdi": mutex, "rsi": FUTEX_WAIT_PRIVATE, "rdx": 2})
    report = _report(process)
    lock = _lock(report, mutex)

    assert (lock.name, lock.name_source) == ("ThreadStore::m_Crst", "member")
    assert lock.owner.tid == owner and [w.thread for w in lock.waiters] == [_thread(process, truth["waiters"][0]).index]


# --- what a wait does not tell


def test_waits_for_a_lock_without_an_owner_word_leave_the_verdict_open() -> None:
    """The convoy's mutex with a kind that no mutex has: its waiters wait in the protocol of locks, for nobody knows whom."""
    truth = truth_of("native-convoy")["locks"]["queue_lock"]
    address = int(truth["address"], 16)
    healthy = bare_process("native-convoy")
    assert _report(healthy).verdict.exit_code == 0
    process = rewrite(bare_process("native-convoy"), {address + 16: 0xFF000000})
    report = _report(process)

    assert (report.verdict.exit_code, report.verdict.kind) == (12, "owner-unknown")
    locks = next(c for c in report.coverage if c.area == "locks")
    assert locks.status == "partial"
    assert f"{len(truth['waiters'])} threads wait for a lock that names no owner" in locks.why


# --- macOS: what the kernel was told


INCIDENT = "macho/incident-x64-10.0.9"


def test_owner_that_the_kernel_was_told_is_evidence_too() -> None:
    report = analyze_process(bare_process(INCIDENT), "core")
    hints = [e for e in report.findings[0].evidence if "gave the kernel this owner" in e.what]
    owner = next(e for e in report.findings[0].evidence if "owner of" in e.what)
    assert [(e.grade, int(e.value or "", 16) & 0xFFFFFFFF) for e in hints] == [("corroborated", int(owner.value or ""))]
    assert hints[0].what.startswith("16 of 16 waiters")


def test_waiters_that_told_the_kernel_another_owner_are_not_counted() -> None:
    process = bare_process(INCIDENT)
    fourth = process.arch.syscall_arguments[3]
    waiters = [t["index"] for t in truth_of(INCIDENT)["waiters"]]
    for index in waiters[:3]:
        tid = next(t.tid for t in process.threads if t.index == index)
        assert tid is not None
        changed_thread(process, tid, {fourth: 77})
    report = analyze_process(process, "core")
    hints = [e.what for e in report.findings[0].evidence if "gave the kernel this owner" in e.what]
    assert [h.split(" gave")[0] for h in hints] == ["13 of 16 waiters"]


# --- what threads are for


@pytest.mark.images
def test_service_threads_are_known_by_their_functions() -> None:
    report = analyze("hang-self")[1]
    by_tid = {tids(report)[t["index"]]: t["role"] for t in report["threads"]}
    first = TRUTH["pid"]
    assert by_tid[first] == "main"
    assert by_tid[first + 2] == "runtime service: synchronization manager"
    assert by_tid[first + 6] == "runtime service: diagnostics server"
    assert {by_tid[tid] for tid in [*TRUTH["waiters"], TRUTH["spinner_tid"]]} == {None}


# --- crashes


def _crashed(name: str, number: int, tid: Optional[int]) -> Report:
    process = bare_process(name)
    assert process.corefile is not None
    process.corefile = replace(process.corefile, crash_signal=number, crash_thread=tid)
    return analyze_process(process, "core")


@pytest.mark.parametrize(
    ("name", "number", "signal"),
    [("healthy", 11, "SIGSEGV"), ("healthy", 7, "SIGBUS"), (INCIDENT, 10, "SIGBUS"), (INCIDENT, 12, "SIGSYS")],
)
def test_crash_is_told_with_the_signal_of_the_dumps_own_system(name: str, number: int, signal: str) -> None:
    process = bare_process(name)
    thread = process.threads[2]
    report = _crashed(name, number, thread.tid)
    finding = next(f for f in report.findings if f.kind == "crash")

    assert (finding.title, finding.status) == (f"The dump was made by {signal}.", "none")
    assert [(a.thread, a.role) for a in finding.actors] == [(thread.index, "crashed")]
    assert report.dump.crash is not None and report.dump.crash.signal_name == signal
    assert finding.repro == (f"thread select {thread.index}", "thread info")


@pytest.mark.parametrize(("name", "number"), [("healthy", 3), ("healthy", 10), (INCIDENT, 13)])
def test_signal_that_ends_no_process_by_itself_is_no_crash(name: str, number: int) -> None:
    assert [f.kind for f in _crashed(name, number, None).findings if f.kind == "crash"] == []
