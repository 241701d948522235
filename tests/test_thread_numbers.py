"""Whose number a lock names, and whether all threads are there: real cores with their notes changed, nothing else."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Dict, List, Tuple

import pytest

from dumpwalk.core.memory import BytesMemory, LayeredMemory
from dumpwalk.core.numbering import read_numbering
from dumpwalk.debugger.open import opened
from dumpwalk.engine.run import analyze_process
from dumpwalk.report.model import Report
from tests.bare_process import bare_process
from tests.conftest import truth_of, unpack_core
from tests.fuzz.dump_bytes import DumpBytes, parse

NT_PRSTATUS = 1
Change = Callable[[bytearray, DumpBytes], None]


def _report(name: str, change: Change, folder: Path) -> Report:
    data = bytearray(unpack_core(name).read_bytes())
    change(data, parse(bytes(data)))
    core = folder / "changed.core"
    core.write_bytes(data)
    with opened(str(core), why_bare="a test without lldb") as process:
        return analyze_process(process, "changed.core")


def _at(note: Tuple[int, int], offset: int) -> int:
    """File offset of a field of a CORE note's body (its owner takes 8 bytes behind the header of 12)."""
    return note[0] + 20 + offset


def renumbered(add: int) -> Change:
    """The notes as another pid namespace numbers them: gdb writes those of its own."""

    def change(data: bytearray, dump: DumpBytes) -> None:
        for note in dump.notes:
            (kind,) = struct.unpack_from("<I", data, note[0] + 8)
            offset = {1: 32, 3: 24}.get(kind)
            if offset is not None and data[note[0] + 12 : note[0] + 16] == b"CORE":
                (number,) = struct.unpack_from("<i", data, _at(note, offset))
                struct.pack_into("<i", data, _at(note, offset), number + add)

    return change


def note_of(tid: int, dump: DumpBytes) -> Tuple[int, int]:
    return next(t.span for t in dump.threads if t.tid == tid)


def with_number(tid: int, number: int) -> Change:
    return lambda data, dump: struct.pack_into("<i", data, _at(note_of(tid, dump), 32), number)


def without_note(tid: int) -> Change:
    """Its PRSTATUS has another type: the thread is lost to every reader."""
    return lambda data, dump: struct.pack_into("<I", data, note_of(tid, dump)[0] + 8, 0x7777)


def _coverage(report: Report, area: str) -> Tuple[str, str]:
    return next((c.status, c.why) for c in report.coverage if c.area == area)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("native-abba", (10, "lock-cycle")),
        ("native-three", (10, "lock-cycle")),
        ("native-orphaned", (10, "lock-orphaned")),
        ("native-convoy", (0, "nothing-stuck")),
        ("hang-self-gcore", (10, "dispatch-cache-cycle")),
        ("managed/linux-x64-10.0.12-monitor-three", (10, "lock-cycle")),
    ],
)
def test_notes_of_another_namespace_are_translated(name: str, verdict: Tuple[int, str], tmp_path: Path) -> None:
    plain = _report(name, lambda data, dump: None, tmp_path)
    report = _report(name, renumbered(20000), tmp_path)
    assert (report.verdict.exit_code, report.verdict.kind) == verdict
    assert report.verdict.line == plain.verdict.line
    status, why = _coverage(report, "threads")
    assert status == "complete" and "another pid namespace" in why
    assert [t.tid for t in report.threads] == [(t.tid or 0) + 20000 for t in plain.threads]
    owners: List[Dict[str, Tuple[object, object]]] = [
        {k.address: (k.owner.tid, k.owner.thread) for k in r.locks if k.owner} for r in (plain, report)
    ]
    assert {a: index for a, (_, index) in owners[0].items()} == {a: index for a, (_, index) in owners[1].items()} != {}


@pytest.mark.parametrize("change", ["lost", "one bit", "another's"])
def test_owner_whose_note_is_damaged_is_not_gone(change: str, tmp_path: Path) -> None:
    truth = truth_of("native-convoy")
    owner = truth["locks"]["queue_lock"]["owner_tid"]
    other = next(t for t in truth["threads"].values() if t != owner)
    done = {
        "lost": without_note(owner),
        "one bit": with_number(owner, owner ^ 0x40),
        "another's": with_number(owner, other),
    }[change]
    report = _report("native-convoy", done, tmp_path)
    assert report.verdict.exit_code == 12
    assert not [f for f in report.findings if f.status in ("hang", "suspicious")]
    assert _coverage(report, "threads")[0] == "partial"


def test_deadlock_with_one_damaged_note_is_not_two_orphans(tmp_path: Path) -> None:
    tid = truth_of("native-abba")["locks"]["lock_a"]["owner_tid"]
    report = _report("native-abba", with_number(tid, tid + 7), tmp_path)
    assert report.verdict.exit_code == 12
    assert {f.confidence for f in report.findings if f.kind == "lock-orphaned"} == {"unresolved"}


def test_control_blocks_that_say_other_numbers_are_not_believed_against_each_other(tmp_path: Path) -> None:
    """One thread's own record is overwritten in memory: its number is disputed, no claim rests on it."""
    truth = truth_of("native-orphaned")
    writer = truth["threads"]["writer-one"]

    def change(data: bytearray, dump: DumpBytes) -> None:
        thread = next(t for t in dump.threads if t.tid == writer)
        offset = dump.offset_of(thread.value("fs_base") + 0x2D0, 4)
        assert offset is not None
        struct.pack_into("<i", data, offset, truth["locks"]["ledger_lock"]["owner_tid"])

    report = _report("native-orphaned", change, tmp_path)
    assert report.verdict.exit_code == 12 and report.verdict.status == "inconclusive"


def test_own_records_of_an_arm64_program_are_read_by_its_thread_pointers() -> None:
    """The core of an emulator: it has no note of the thread pointers, which the program told; the memory is glibc's of arm64."""
    truth = truth_of("waits/arm64-abba")
    pointers = {truth["threads"][name]: int(at, 16) for name, at in truth["thread_pointers"].items()}
    process = bare_process("waits/arm64-abba")
    register = process.arch.thread_pointer
    assert process.arch.name == "aarch64" and process.numbering.status == "unknown"
    threads = [
        SimpleNamespace(index=t.index, tid=t.tid, tid_source="os", registers={register: pointers.get(t.tid or 0, 0)})
        for t in process.threads
    ]
    found = read_numbering(threads, process.memory, process.arch, "linux", truth["pid"])
    assert found.status == "agrees" and sorted(found.own.values()) == sorted(pointers)
    assert found.listed == {truth["pid"], *pointers} and found.missing == []
    others = [SimpleNamespace(**{**vars(t), "tid": (t.tid or 0) + 700}) for t in threads if t.registers[register]]
    assert read_numbering(others, process.memory, process.arch, "linux", None).status == "mapped"


def test_a_deadlock_of_arm64_is_proved_where_its_calls_are_seen() -> None:
    """gdb and the emulator leave code out of cores: the instruction before each pc is put back, as the program's file has them."""
    truth, process = truth_of("waits/arm64-abba"), bare_process("waits/arm64-abba")
    report = analyze_process(process, "core")
    assert report.verdict.exit_code == 12 and "it cannot be told" in _coverage(report, "locks")[1]
    process = bare_process("waits/arm64-abba")
    arch = process.arch
    calls = {t.registers[arch.pc] - arch.syscall_before_pc for t in process.threads}
    process.code = LayeredMemory(
        [BytesMemory([(at, bytes(arch.syscall_instruction)) for at in sorted(calls)]), process.memory]
    )
    report = analyze_process(process, "core")
    assert (report.verdict.exit_code, report.verdict.kind) == (10, "lock-cycle")
    assert {k.address: k.owner.tid for k in report.locks if k.owner} == {
        f"0x{int(truth['locks'][lock], 16):x}": truth["threads"][name]
        for lock, name in (("lock_a", "a-then-b"), ("lock_b", "b-then-a"))
    }
