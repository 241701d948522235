"""The few machine instructions that a walk along a linked list is made of, x64 and arm64 in one vocabulary.

Anything else decodes to None: this is no disassembler. Encodings: Intel SDM volume 2 (REX, ModRM, SIB), Arm ARM
DDI 0487 section C4 (A64 loads and stores, add/subtract immediate, conditional branch, LDAR and LDAPR).
"""

from __future__ import annotations

from typing import Callable, Optional

from dumpwalk.dataclass import dataclass

LOAD, STORE, COMPARE_MEMORY, COMPARE, COMPARE_ZERO, ADD, SET, JUMP_EQUAL, JUMP_UNEQUAL, LOAD_PAIR = range(10)

_X64 = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
_ARM64 = (*(f"x{i}" for i in range(29)), "fp", "lr", "sp")


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction; fields that its operation does not have are None or 0."""

    operation: int
    length: int
    register: Optional[str] = None
    """Destination of a load or addition; what is stored or compared."""
    base: Optional[str] = None
    """Base of the memory operand; the second register of COMPARE; the source of ADD."""
    index: Optional[str] = None
    value: int = 0
    """Displacement in bytes, immediate operand, or a jump's distance from the instruction's own start."""
    second: Optional[str] = None
    """Second destination of LOAD_PAIR."""


Decoder = Callable[[bytes, int], Optional[Instruction]]


def decode_x64(code: bytes, at: int) -> Optional[Instruction]:
    """The instruction at `code[at]`, or None when it is another one or runs past the end."""
    if at + 2 > len(code):
        return None
    first = code[at]
    if first in (0x74, 0x75):
        distance = int.from_bytes(code[at + 1 : at + 2], "little", signed=True)
        return Instruction(JUMP_EQUAL if first == 0x74 else JUMP_UNEQUAL, 2, value=2 + distance)
    if first == 0x0F:
        if at + 6 > len(code) or code[at + 1] not in (0x84, 0x85):
            return None
        distance = int.from_bytes(code[at + 2 : at + 6], "little", signed=True)
        return Instruction(JUMP_EQUAL if code[at + 1] == 0x84 else JUMP_UNEQUAL, 6, value=6 + distance)
    if not 0x48 <= first <= 0x4F or at + 3 > len(code):  # 64-bit operands only
        return None
    return _x64_modrm(code, at, first, code[at + 1], code[at + 2])


def _x64_modrm(code: bytes, at: int, rex: int, opcode: int, modrm: int) -> Optional[Instruction]:
    register = _X64[(modrm >> 3 & 7) | (rex & 4) << 1]
    mode, rm = modrm >> 6, modrm & 7
    if mode == 3:
        other = _X64[rm | (rex & 1) << 3]
        if opcode in (0x39, 0x3B):
            return Instruction(COMPARE, 3, register, other)
        if opcode == 0x85 and register == other:
            return Instruction(COMPARE_ZERO, 3, register)
        if opcode == 0x83 and modrm >> 3 & 7 == 0 and at + 4 <= len(code):
            return Instruction(ADD, 4, other, other, value=int.from_bytes(code[at + 3 : at + 4], "little", signed=True))
        return None
    operation = {0x8B: LOAD, 0x89: STORE, 0x39: COMPARE_MEMORY, 0x3B: COMPARE_MEMORY}.get(opcode)
    length, index, base_field = 3, None, rm
    if operation is None or (mode == 0 and rm == 5):  # rip-relative
        return None
    if rm == 4:
        if at + 4 > len(code):
            return None
        sib, length = code[at + 3], 4
        base_field = sib & 7
        index_field = (sib >> 3 & 7) | (rex & 2) << 2
        if mode == 0 and base_field == 5:
            return None
        if index_field != 4:
            if sib >> 6 != 3:  # only tables of 8-byte words
                return None
            index = _X64[index_field]
    size = (0, 1, 4)[mode]
    if at + length + size > len(code):
        return None
    value = int.from_bytes(code[at + length : at + length + size], "little", signed=True) if size else 0
    return Instruction(operation, length + size, register, _X64[base_field | (rex & 1) << 3], index, value)


def decode_arm64(code: bytes, at: int) -> Optional[Instruction]:
    """The instruction at `code[at]`, or None when it is another one or runs past the end."""
    if at + 4 > len(code):
        return None
    word = int.from_bytes(code[at : at + 4], "little")
    d, n, m = word & 31, word >> 5 & 31, word >> 16 & 31
    if word & 0xFF00001E == 0x54000000:  # b.eq, b.ne
        distance = (word >> 5 & 0x7FFFF) - ((word >> 23 & 1) << 19)
        return Instruction(JUMP_UNEQUAL if word & 1 else JUMP_EQUAL, 4, value=4 * distance)
    if word & 0xFFC00000 == 0x91000000:  # add xd, xn, #imm
        return Instruction(ADD, 4, _ARM64[d], _ARM64[n], value=word >> 10 & 0xFFF)
    if word & 0xFFFFFC00 in (0xC8DFFC00, 0xF8BFC000):  # ldar, ldapr
        return Instruction(LOAD, 4, _ARM64[d], _ARM64[n])
    if word & 0xFFC00000 in (0xF9400000, 0xF9000000):  # ldr, str with an unsigned offset
        operation = LOAD if word & 0x00400000 else STORE
        return Instruction(operation, 4, _ARM64[d], _ARM64[n], value=(word >> 10 & 0xFFF) * 8)
    if word & 0xFFE0FC00 in (0xF8606800, 0xF8607800):  # ldr xt, [xn, xm] or [xn, xm, lsl #3]
        return Instruction(LOAD, 4, _ARM64[d], _ARM64[n], _ARM64[m])
    if word & 0xFFE0FC00 in (0xF8207800, 0xF8205800):  # str xt, [xn, xm, lsl #3] or [xn, wm, uxtw #3]
        return Instruction(STORE, 4, _ARM64[d], _ARM64[n], _ARM64[m])
    if word & 0xFFE0FC1F == 0xEB00001F:  # cmp xn, xm
        return Instruction(COMPARE, 4, _ARM64[n], _ARM64[m])
    if word & 0xFFFFFC1F == 0xF100001F:  # cmp xn, #0
        return Instruction(COMPARE_ZERO, 4, _ARM64[n])
    if word & 0xFFC00000 == 0xA9400000:  # ldp
        offset = (word >> 15 & 0x7F) - ((word >> 21 & 1) << 7)
        return Instruction(LOAD_PAIR, 4, _ARM64[d], _ARM64[n], value=8 * offset, second=_ARM64[word >> 10 & 31])
    if word & 0xFFE00000 in (0x52800000, 0xD2800000):  # movz
        return Instruction(SET, 4, _ARM64[d], value=word >> 5 & 0xFFFF)
    return None


def decoder_for(machine: str) -> Decoder:
    """The decoder of a machine by its name in `core.arch`: x86_64 or aarch64."""
    return decode_x64 if machine == "x86_64" else decode_arm64
