"""Unwind data as rules: CFI against pyelftools' reading, UNWIND_INFO and .xdata as the formats' descriptions give them."""

from __future__ import annotations

import io
import struct
import time
from typing import Dict, List, Optional, Sequence, Tuple

import pytest
from elftools.dwarf.callframe import FDE as ReferenceFde
from elftools.elf.elffile import ELFFile

from dumpwalk.core.arch import arch_for
from dumpwalk.core.memory import BytesMemory
from dumpwalk.coreclr.unwinding import amd64, arm64
from dumpwalk.unwinding import rules
from dumpwalk.unwinding.cfi import Cie, Fde, rule_at
from dumpwalk.unwinding.eh_frame import EhFrames
from dumpwalk.unwinding.expressions import evaluate
from dumpwalk.unwinding.registers import register_file
from dumpwalk.unwinding.rules import Rule, Words, apply
from dumpwalk.unwinding.signal_frames import signal_rule
from tests.conftest import CORES

X64 = register_file(arch_for("linux", "x86_64"))
ARM64 = register_file(arch_for("linux", "aarch64"))
RBX, RBP, RSP, R12, R14, RIP = 3, 6, 7, 12, 14, 16
STACK = 0x7FFF0000


def caller(rule: Optional[Rule], words: Dict[int, int], machine=X64, **registers: int) -> Dict[str, Optional[int]]:
    """The caller's registers after a rule, with these 64-bit words in memory."""
    assert rule is not None
    low, high = STACK, STACK + 0x4000
    data = bytearray(high - low)
    for at, value in words.items():
        struct.pack_into("<Q", data, at - low, value)
    values = [registers.get(name) for name in machine.names]
    found = apply(rule, values, machine, Words(BytesMemory([(low, bytes(data))])))
    assert found is not None
    return dict(zip(machine.names, found))


# --- CFI --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ("abba", "convoy", "three"))
def test_cfi_is_read_as_pyelftools_reads_it(program: str):
    """Every row of every FDE of a real program: CFA, and where each register is saved."""
    content = (CORES / "bin" / program).read_bytes()
    elf = ELFFile(io.BytesIO(content))
    base = 0x400000
    loads = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
    memory = BytesMemory([(base + s["p_vaddr"], s.data()) for s in loads])
    frames = EhFrames(memory)
    compared = 0
    for entry in elf.get_dwarf_info().EH_CFI_entries():
        if not isinstance(entry, ReferenceFde):
            continue
        start = entry["initial_location"]
        fde = frames.fde(base, base + start)
        assert fde is not None and (fde.start, fde.end) == (base + start, base + start + entry["address_range"])
        for row in entry.get_decoded().table:
            rule = rule_at(fde, base + row["pc"], X64)
            assert rule is not None
            compared += 1
            if row["cfa"].expr is not None:
                assert rule.cfa_expression == bytes(row["cfa"].expr)
                continue
            assert (rule.cfa_register, rule.cfa_offset) == (row["cfa"].reg, row["cfa"].offset)
            saved = {k: v.arg for k, v in row.items() if isinstance(k, int) and v.type == "OFFSET"}
            assert dict(rule.near) == saved
            assert rule.outermost == (16 in row and row[16].type == "UNDEFINED")
    assert compared > 15


def fde_of(program: bytes, initial: bytes = b"\x0c\x07\x08\x90\x01", signal: bool = False) -> Fde:
    """A function of 0x100 bytes; its CIE says CFA = rsp + 8, rip at CFA - 8."""
    return Fde(0x1000, 0x1100, Cie(1, -8, 16, 0x1B, True, signal, initial), program)


def test_a_row_is_that_of_its_address():
    # push rbp at 1; mov rbp, rsp at 4; remember, leave at 0x10, restore
    program = b"\x41\x0e\x10\x86\x02" + b"\x43\x0d\x06" + b"\x4c\x0a\x0c\x07\x08\xc6" + b"\x41\x0b"
    rows = [rule_at(fde_of(program), 0x1000 + at, X64) for at in (0, 1, 3, 4, 0xF, 0x10, 0x11)]
    assert [(r.cfa_register, r.cfa_offset, dict(r.near).get(RBP)) for r in rows if r] == [
        (RSP, 8, None), (RSP, 16, -16), (RSP, 16, -16), (RBP, 16, -16), (RBP, 16, -16), (RSP, 8, None), (RBP, 16, -16),
    ]  # fmt: skip
    assert rule_at(fde_of(program), 0x1100, X64) is None


def test_an_undefined_return_address_ends_the_stack():
    rule = rule_at(fde_of(b"\x07\x10"), 0x1000, X64)
    assert rule is not None and rule.outermost


@pytest.mark.parametrize(
    "program",
    (
        b"\x3f",  # no such instruction
        b"\x0e",  # cut off
        b"\x0b",  # restores a state that was not remembered
        b"\x0a" * 100,  # remembers without end
        b"\x0e" + b"\xff" * 12,  # a number of more than 64 bits
        b"\x16\x10\x50",  # an expression longer than the program
        b"\x0d\x63",  # CFA in a register that does not exist
        b"\x01" + bytes(8),
    ),
)
def test_a_damaged_program_is_no_rule(program: bytes):
    assert rule_at(fde_of(program), 0x1050, X64) is None


def test_a_program_without_end_is_left_early():
    began = time.monotonic()
    assert rule_at(fde_of(b"\x0e\x08" * 200_000), 0x1050, X64) is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("code", "value"),
    (
        (b"\x77\x08", STACK + 8),  # breg7 8
        (b"\x77\x10\x06", 0xABCD),  # breg7 16; deref
        (b"\x33\x34\x22", 7),  # lit3 lit4 plus
        (b"\x33\x34\x1c", 2**64 - 1),  # minus
        (b"\x38\x33\x1b", 2),  # div
        (b"\x77\x00\x80" [:2] + b"\x12\x22", 2 * STACK),  # breg7 0; dup; plus
        (b"\x31\x28\x01\x00\x96\x35", 5),  # lit1; bra over a nop
        (b"\x2f\xfd\xff", None),  # skip to itself
        (b"\x22", None),  # nothing on the stack
        (b"\x30\x30\x1b", None),  # division by zero
        (b"\x73\x00", None),  # rbx, which is not known
        (b"\x97", None),  # DW_OP_push_object_address
        (b"\x30" * 65, None),
    ),
)  # fmt: skip
def test_expressions(code: bytes, value: Optional[int]):
    memory = BytesMemory([(STACK, bytes(16) + struct.pack("<Q", 0xABCD))])
    values: List[Optional[int]] = [None] * len(X64.names)
    values[RSP] = STACK
    assert evaluate(code, values, Words(memory), None) == value


def test_signal_frames_give_the_interrupted_registers():
    trampoline = BytesMemory([(0x2000, b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05")])
    words = {STACK + 40 + 8 * n: 0x100 + n for n in range(17)}
    after = caller(signal_rule(trampoline, 0x2000, X64), words, rsp=STACK)
    assert (after["r8"], after["rbp"], after["rbx"], after["rcx"]) == (0x100, 0x10A, 0x10B, 0x10E)
    assert (after["rsp"], after["rip"]) == (0x10F, 0x110)
    trampoline = BytesMemory([(0x2000, b"\x68\x11\x80\xd2\x01\x00\x00\xd4")])
    words = {STACK + 312 + 8 * n: 0x100 + n for n in range(33)}
    after = caller(signal_rule(trampoline, 0x2000, ARM64), words, ARM64, sp=STACK)
    assert (after["x0"], after["x28"], after["fp"], after["lr"], after["sp"], after["pc"]) == (
        0x100, 0x11C, 0x11D, 0x11E, 0x11F, 0x120,
    )  # fmt: skip
    assert signal_rule(trampoline, 0x2004, ARM64) is None


# --- UNWIND_INFO ------------------------------------------------------------------------------------------------------


def info(
    codes: Sequence[Tuple[int, ...]], prologue: int = 0x20, frame: int = 0, flags: int = 3, tail: bytes = b""
) -> bytes:
    """A record of 16-bit slots; each code is (offset, operation, info, *further slots)."""
    slots = b"".join(
        struct.pack("<BB", offset, operation | value << 4) + b"".join(struct.pack("<H", s) for s in rest)
        for offset, operation, value, *rest in codes
    )
    count = len(slots) // 2
    return bytes([1 | flags << 3, prologue, count, frame]) + slots + bytes(2 * (count % 2)) + tail


def amd64_rule(record: bytes, offset: Optional[int] = None) -> Optional[Rule]:
    return amd64.rule(BytesMemory([(0x5000, record)]).read, 0x4000, 0x1000, offset)


BODY = [(12, 2, 3), (8, 0, 3), (7, 0, 14), (5, 0, 5)]
"""push rbp; push r14; push rbx; sub rsp, 0x20."""


def test_a_call_site_undoes_the_whole_prologue():
    words = {STACK + 0x20: 1, STACK + 0x28: 2, STACK + 0x30: 3, STACK + 0x38: 0x1234}
    after = caller(amd64_rule(info(BODY)), words, rsp=STACK)
    assert (after["rbx"], after["r14"], after["rbp"], after["rip"], after["rsp"]) == (1, 2, 3, 0x1234, STACK + 0x40)
    assert after["rax"] is None


@pytest.mark.parametrize(("offset", "at"), ((0, 0), (4, 0), (5, 8), (7, 16), (11, 24), (12, 56), (60, 56)))
def test_a_prologue_is_undone_as_far_as_it_had_run(offset: int, at: int):
    after = caller(amd64_rule(info(BODY), offset), {STACK + at: 0x1234}, rsp=STACK)
    assert (after["rip"], after["rsp"]) == (0x1234, STACK + at + 8)


def test_large_allocations_and_saved_registers():
    after = caller(amd64_rule(info([(9, 1, 0, 0x200)])), {STACK + 0x1000: 7}, rsp=STACK)
    assert after["rip"] == 7
    after = caller(
        amd64_rule(info([(9, 4, 3, 2), (8, 1, 1, 0x2000, 0)])), {STACK + 0x2000: 7, STACK + 16: 5}, rsp=STACK
    )
    assert (after["rip"], after["rbx"]) == (7, 5)


@pytest.mark.parametrize(
    ("record", "distance"),
    (
        (info([(9, 3, 0), (5, 2, 3), (1, 0, 5)], frame=0x25), 0x20),
        (info([(9, 11, 0, 0x11, 0), (5, 2, 3), (1, 0, 5)], frame=0x05), 0x110),
    ),
)
def test_a_frame_register_stands_for_the_stack_pointer(record: bytes, distance: int):
    """stackalloc moves rsp by what nobody records: rbp - distance is what the prologue made of it."""
    fixed = STACK + 0x800
    words = {fixed + 0x20: 3, fixed + 0x28: 0x1234}
    after = caller(amd64_rule(record), words, rsp=STACK, rbp=fixed + distance)
    assert (after["rbp"], after["rip"], after["rsp"]) == (3, 0x1234, fixed + 0x30)


def test_a_part_of_a_function_is_chained_to_the_whole():
    part = info([(3, 2, 1)], flags=4, tail=struct.pack("<III", 0, 0x100, 0x1100))
    memory = BytesMemory([(0x5000, part.ljust(0x100, b"\0") + info(BODY))])
    after = caller(amd64.rule(memory.read, 0x4000, 0x1000, None), {STACK + 0x48: 0x1234}, rsp=STACK)
    assert after["rip"] == 0x1234
    itself = info([], flags=4, tail=struct.pack("<III", 0, 0x100, 0x1000))
    assert amd64_rule(itself) is None


@pytest.mark.parametrize(
    "record", (b"\0\0\0\0", b"\x03\0\0\0", info([(1, 15, 0)]), info([(1, 1, 7, 1)]), info([(1, 5, 3)]), b"")
)
def test_a_damaged_record_is_no_rule(record: bytes):
    assert amd64_rule(record) is None


@pytest.mark.parametrize(
    ("code", "at", "saved"),
    (
        ("4883c4205b415e5dc3", 0x38, {"rbx": 0x20, "r14": 0x28, "rbp": 0x30}),
        ("5b415e5dc3", 0x18, {"rbx": 0, "r14": 8, "rbp": 0x10}),
        ("c3", 0, {}),
        ("488d65f05b5dc3", None, {}),
        ("c5f8774883c408c3", 8, {}),
        ("4883c428e911223344", 0x28, {}),
    ),
)
def test_an_epilogue_is_followed_to_its_end(code: str, at: Optional[int], saved: Dict[str, int]):
    rule = amd64.epilogue(bytes.fromhex(code), None)
    if at is None:  # lea rsp, [rbp - 0x10]; pop rbx; pop rbp; ret
        after = caller(rule, {STACK + 0x7F0: 1, STACK + 0x7F8: 2, STACK + 0x800: 3}, rsp=STACK, rbp=STACK + 0x800)
        assert (after["rbx"], after["rbp"], after["rip"], after["rsp"]) == (1, 2, 3, STACK + 0x808)
        return
    words = {STACK + at: 0x1234, **{STACK + offset: offset + 1 for offset in saved.values()}}
    after = caller(rule, words, rsp=STACK)
    assert (after["rip"], after["rsp"]) == (0x1234, STACK + at + 8)
    assert {name: after[name] for name in saved} == {name: offset + 1 for name, offset in saved.items()}


@pytest.mark.parametrize("code", ("488b45f8c3", "e911223344", "4883c4e0c3", "", "4883c420", "5b488b07"))
def test_what_is_no_epilogue(code: str):
    assert amd64.epilogue(bytes.fromhex(code), None) is None


# --- .xdata -----------------------------------------------------------------------------------------------------------


def xdata(codes: bytes, length: int = 0x100, epilogue: int = 0) -> bytes:
    codes = codes.ljust(-(-len(codes) // 4) * 4, b"\xe3")
    word = length // 4 | 1 << 20 | 1 << 21 | epilogue << 22 | len(codes) // 4 << 27
    return struct.pack("<I", word) + codes


def arm64_rule(record: bytes, offset: Optional[int] = None) -> Optional[Rule]:
    memory = BytesMemory([(0x5000, record)])
    parsed = arm64.parse(memory.read, 0x5000)
    return arm64.rule(memory.read, parsed, offset) if parsed is not None else None


FRAMED = bytes([0xE1, 0xC8, 0x02, 0x83 + 0x00, 0xE4])
"""stp fp, lr, [sp, #-0x20]!; stp x19, x20, [sp, #0x10]; mov fp, sp: undone from the last on."""


def test_an_arm64_frame_is_undone():
    words = {STACK: 0x7001, STACK + 8: 0x9000, STACK + 0x10: 19, STACK + 0x18: 20}
    after = caller(arm64_rule(xdata(FRAMED)), words, ARM64, sp=STACK - 0x400, fp=STACK, lr=1)
    assert (after["fp"], after["pc"], after["x19"], after["x20"], after["sp"]) == (0x7001, 0x9000, 19, 20, STACK + 0x20)
    assert after["x0"] is None


def test_an_arm64_prologue_is_undone_as_far_as_it_had_run():
    before = caller(arm64_rule(xdata(FRAMED), 0), {}, ARM64, sp=STACK, fp=5, lr=0x9000)
    assert (before["pc"], before["sp"], before["fp"]) == (0x9000, STACK, 5)
    words = {STACK: 0x7001, STACK + 8: 0x9004}
    after = caller(arm64_rule(xdata(FRAMED), 4), words, ARM64, sp=STACK, fp=5, lr=0)
    assert (after["pc"], after["sp"], after["fp"], after["x19"]) == (0x9004, STACK + 0x20, 0x7001, None)


def test_further_pairs_stand_behind_the_one_that_is_named():
    codes = bytes([0xE6, 0xC8, 0x02, 0x83, 0xE4])  # save_next; save_regp x19, 0x10; save_fplr_x 0x20
    words = {STACK + 8: 0x9000, STACK + 0x10: 19, STACK + 0x18: 20, STACK + 0x20: 21, STACK + 0x28: 22}
    after = caller(arm64_rule(xdata(codes)), words, ARM64, sp=STACK)
    assert [after[f"x{n}"] for n in (19, 20, 21, 22)] == [19, 20, 21, 22] and after["pc"] == 0x9000


@pytest.mark.parametrize(
    "record", (b"", bytes(4), xdata(bytes([0xE8, 0xE4])), xdata(bytes([0xDF, 1, 0xE4])), xdata(bytes([0x01])))
)
def test_damaged_arm64_records_are_no_rule(record: bytes):
    assert arm64_rule(record) is None


def test_rules_name_what_they_rest_on():
    assert {r.trust for r in (amd64_rule(info(BODY)), arm64_rule(xdata(FRAMED))) if r} == {"unwind-info"}
    near, others = rules.split([rules.Save(3, rules.AT_CFA, -8), rules.Save(99, rules.AT_CFA, -16)], 17)
    assert (near, others) == (((3, -8),), ())
