"""UNWIND_INFO, the Windows form that the JIT and crossgen write on every amd64 system, as a rule.

Sources: Microsoft's "x64 exception handling" (UNWIND_INFO, UNWIND_CODE, epilogues); src/coreclr/inc/win64unwind.h
(UWOP_SET_FPREG_LARGE, 11, of Unix); src/coreclr/jit/unwindamd64.cpp; src/coreclr/unwinder/amd64/unwinder.cpp.
At a call the whole prologue has run, so its codes are undone from the last to the first. Where a thread was interrupted in
a prologue only those that had run are; in an epilogue the instructions that are left say what remains.
"""

from __future__ import annotations

import struct
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from dumpwalk import limits
from dumpwalk.unwinding import rules
from dumpwalk.unwinding.rules import Rule, Save

_DWARF = (0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15)
"""From the machine's register numbers (rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8...) to DWARF's."""
RSP, RIP = 7, 16
"""DWARF numbers."""
_CHAINED = 4
_PUSH, _ALLOC_LARGE, _ALLOC_SMALL, _SET_FP, _SAVE, _SAVE_FAR = 0, 1, 2, 3, 4, 5
_EPILOG, _SPARE, _SAVE_XMM, _SAVE_XMM_FAR, _MACHINE_FRAME, _SET_FP_LARGE = 6, 7, 8, 9, 10, 11

Read = Callable[[int, int], Optional[bytes]]


class UnwindInfo(NamedTuple):
    prologue: int
    """Bytes."""
    frame_register: int
    """DWARF number; meaningful with a SET_FPREG code."""
    frame_offset: int
    codes: Tuple[Tuple[int, int, int, int], ...]
    """(prologue offset behind the instruction, operation, its info, its operand), the last of the prologue first."""
    chained: Optional[int]
    """RVA of the unwind data of the function that this one is a part of."""


def parse(read: Read, address: int) -> Optional[UnwindInfo]:
    """The record at `address`; None when it is damaged, of a form that is not known, or not captured."""
    head = read(address, 4)
    if head is None or head[0] & 7 not in (1, 2):
        return None
    flags, prologue, count, frame = head[0] >> 3, head[1], head[2], head[3]
    size = 2 * (count + count % 2)
    data = read(address + 4, size) if size else b""
    if data is None:
        return None
    codes: List[Tuple[int, int, int, int]] = []
    at = 0
    while at < count:
        offset, operation, info = data[2 * at], data[2 * at + 1] & 0xF, data[2 * at + 1] >> 4
        slots = _slots(operation, info)
        if slots is None or at + slots > count:
            return None
        operand = int.from_bytes(data[2 * at + 2 : 2 * at + 2 * slots], "little")
        codes.append((offset, operation, info, operand))
        at += slots
    chained = None
    if flags & _CHAINED:
        entry = read(address + 4 + size, 12)
        if entry is None:
            return None
        chained = struct.unpack("<III", entry)[2]
    return UnwindInfo(prologue, _DWARF[frame & 0xF], 16 * (frame >> 4), tuple(codes), chained)


def _slots(operation: int, info: int) -> Optional[int]:
    if operation in (_PUSH, _ALLOC_SMALL, _SET_FP, _MACHINE_FRAME):
        return 1
    if operation == _ALLOC_LARGE:
        return {0: 2, 1: 3}.get(info)
    if operation in (_SAVE, _SAVE_XMM, _EPILOG):
        return 2
    return 3 if operation in (_SAVE_FAR, _SAVE_XMM_FAR, _SET_FP_LARGE, _SPARE) else None


def rule(read: Read, base: int, unwind: int, offset: Optional[int]) -> Optional[Rule]:
    """The rule of an address. `unwind` is the RVA of its record from `base`; `offset` the bytes from the function's start
    where it was interrupted there, None at a call. None where the record, or one it is chained to, cannot be used."""
    state = _State()
    seen: List[int] = []
    while True:
        info = parse(read, base + unwind)
        if info is None or unwind in seen or len(seen) >= limits.UNWIND_CHAIN:
            return None
        seen.append(unwind)
        for at, operation, value, operand in info.codes:
            if offset is not None and at > offset:
                continue  # that instruction has not run yet
            if not state.undo(operation, value, operand, info):
                return None
        if info.chained is None:
            break
        unwind, offset = info.chained, None
    return state.rule()


class _State:
    """The stack pointer as a register plus a constant while codes are undone, and what was found on the way."""

    def __init__(self) -> None:
        self.base, self.at = RSP, 0
        self.saves: Dict[int, Tuple[int, int]] = {}
        self.machine: Optional[int] = None

    def undo(self, operation: int, value: int, operand: int, info: UnwindInfo) -> bool:
        if self.machine is not None:
            return False
        if operation == _PUSH:
            self.saves[_DWARF[value]] = (self.base, self.at)
            self.at += 8
        elif operation == _ALLOC_SMALL:
            self.at += 8 * value + 8
        elif operation == _ALLOC_LARGE:
            self.at += operand if value else 8 * operand
        elif operation in (_SET_FP, _SET_FP_LARGE):
            distance = info.frame_offset if operation == _SET_FP else 16 * (operand & 0x0FFFFFFF)
            if info.frame_register in self.saves or info.frame_register == RSP:
                return False
            self.base, self.at = info.frame_register, -distance
        elif operation in (_SAVE, _SAVE_FAR):
            self.saves[_DWARF[value]] = (self.base, self.at + (8 * operand if operation == _SAVE else operand))
        elif operation == _MACHINE_FRAME:
            self.machine = self.at + 8 * (value & 1)
        return True

    def rule(self) -> Rule:
        """The caller's rsp is the CFA: behind the return address."""
        if self.machine is not None:  # rip, cs, eflags, rsp as the processor pushed them
            rip = Save(RIP, rules.AT_REGISTER, self.machine, self.base)
            sp = Save(RSP, rules.AT_REGISTER, self.machine + 24, self.base)
            return Rule("unwind-info", self.base, self.machine, (), (rip,), interrupted=True, sp=sp)
        return make_rule(self.base, self.at + 8, self.saves)


def make_rule(base: int, cfa: int, saves: Dict[int, Tuple[int, int]]) -> Rule:
    """A rule whose CFA is `base` + `cfa`, with the return address just below it."""
    near = [(RIP, -8)]
    others = []
    for register, (from_register, offset) in saves.items():
        if from_register == base:
            near.append((register, offset - cfa))
        else:
            others.append(Save(register, rules.AT_REGISTER, offset, from_register))
    return Rule("unwind-info", base, cfa, tuple(near), tuple(others))


def epilogue(code: bytes, frame_register: Optional[int]) -> Optional[Rule]:
    """The rule at an instruction from which an epilogue runs to its end: an adjustment of rsp at most, pops, ret or a jump.

    `frame_register`: that of the function's SET_FPREG, which `lea rsp, [register + n]` may use; None allows rbp.
    """
    at, base, offset = 0, RSP, 0
    if code[:3] == b"\xc5\xf8\x77":  # vzeroupper stands before it
        at = 3
    adjusted = False
    if code[at : at + 3] == b"\x48\x83\xc4":  # add rsp, imm8
        offset, at, adjusted = _signed(code[at + 3 : at + 4]), at + 4, True
    elif code[at : at + 3] == b"\x48\x81\xc4":
        offset, at, adjusted = _signed(code[at + 3 : at + 7]), at + 7, True
    elif code[at : at + 2] in (b"\x48\x8d", b"\x49\x8d") and len(code) > at + 3 and code[at + 2] >> 3 & 7 == 4:
        mode, low = code[at + 2] >> 6, code[at + 2] & 7
        register = _DWARF[low + (8 if code[at] & 1 else 0)]
        if mode not in (1, 2) or low == 4 or register != (6 if frame_register is None else frame_register):
            return None
        size = 1 if mode == 1 else 4
        base, offset, at, adjusted = register, _signed(code[at + 3 : at + 3 + size]), at + 3 + size, True
    elif code[at : at + 3] == b"\x48\x89\xec" or code[at : at + 3] == b"\x48\x8b\xe5":  # mov rsp, rbp
        base, at, adjusted = 6, at + 3, True
    if adjusted and offset < 0 and base == RSP:
        return None
    saves: Dict[int, Tuple[int, int]] = {}
    while at < len(code):
        byte = code[at]
        if 0x58 <= byte <= 0x5F and byte != 0x5C:
            saves[_DWARF[byte - 0x58]] = (base, offset)
            at, offset = at + 1, offset + 8
        elif byte == 0x41 and at + 1 < len(code) and 0x58 <= code[at + 1] <= 0x5F:
            saves[_DWARF[code[at + 1] - 0x58 + 8]] = (base, offset)
            at, offset = at + 2, offset + 8
        else:
            break
    rest = code[at : at + 3]
    left = rest[:1] in (b"\xc3", b"\xc2") or rest[:2] == b"\xf3\xc3"
    jumps = rest[:1] in (b"\xe9", b"\xeb") or rest[:2] == b"\xff\x25" or rest[:3] in (b"\x48\xff\xe0", b"\x48\xff\x25")
    if not left and not (jumps and (adjusted or saves)):
        return None
    return make_rule(base, offset + 8, saves)


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)
