"""Unwind data of arm64, .xdata and packed, as a rule.

Sources: Microsoft's "ARM64 exception handling" (header, epilogue scopes, unwind codes, packed data);
src/coreclr/jit/unwindarm64.cpp and src/coreclr/unwinder/arm64/unwinder.cpp. Each code stands for one instruction of four
bytes, the prologue's last first; an address in a prologue or an epilogue leaves out the codes that do not apply there.
Checked on a core of 10.0.12 for linux-arm64: full records at calls. Packed data, SVE codes and epilogues were not met in one.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from dumpwalk import limits
from dumpwalk.unwinding import rules
from dumpwalk.unwinding.rules import Rule, Save

_FP, _LR, _SP, _PC = 29, 30, 31, 32
_INSTRUCTION = 4
_END, _END_C = 0xE4, 0xE5
Read = Callable[[int, int], Optional[bytes]]


class Xdata(NamedTuple):
    length: int
    """Bytes of code."""
    scopes: Tuple[Tuple[int, int], ...]
    """(bytes from the function's start, index of the first code) of each epilogue."""
    codes: bytes


def parse(read: Read, address: int) -> Optional[Xdata]:
    """A full record; None when it is damaged, of another version, or not captured."""
    head = read(address, 4)
    if head is None:
        return None
    word = int.from_bytes(head, "little")
    length, version, single = _INSTRUCTION * (word & 0x3FFFF), word >> 18 & 3, word >> 21 & 1
    epilogues, words, at = word >> 22 & 0x1F, word >> 27, address + 4
    if version != 0 or not length:
        return None
    if not epilogues and not words:
        more = read(at, 4)
        if more is None:
            return None
        value = int.from_bytes(more, "little")
        epilogues, words, at = value & 0xFFFF, value >> 16 & 0xFF, at + 4
    count = 0 if single else epilogues
    if count > limits.EPILOGUES:
        return None
    data = read(at, _INSTRUCTION * (count + words)) if count + words else b""
    if data is None:
        return None
    codes = data[_INSTRUCTION * count :]
    scopes: List[Tuple[int, int]] = []
    for index in range(count):
        scope = int.from_bytes(data[4 * index : 4 * index + 4], "little")
        scopes.append((_INSTRUCTION * (scope & 0x3FFFF), scope >> 22))
    if single:
        start = length - _INSTRUCTION * _count(codes, epilogues)
        scopes.append((start, epilogues))
    return Xdata(length, tuple(scopes), codes)


def _size(code: int) -> int:
    """Bytes of the unwind code that begins with this one."""
    if code < 0xC0:
        return 1
    if code < 0xE0:
        return 2
    return {0xE0: 4, 0xE2: 2, 0xE7: 3}.get(code, 1)


def _count(codes: bytes, index: int) -> int:
    """Instructions that the codes from `index` to the end code stand for, that one's return included."""
    count = 0
    while index < len(codes):
        count += 1
        if codes[index] in (_END, _END_C):
            return count
        index += _size(codes[index])
    return count


def rule(read: Read, xdata: Xdata, offset: Optional[int]) -> Optional[Rule]:
    """The rule of an address; `offset` from the function's start where it was interrupted there, None at a call."""
    index = skip = 0
    if offset is not None:
        prologue = _count(xdata.codes, 0) - 1
        if offset < _INSTRUCTION * prologue:
            skip = prologue - offset // _INSTRUCTION
        else:
            for start, first in xdata.scopes:
                size = _INSTRUCTION * _count(xdata.codes, first)
                if start <= offset < start + size:
                    index, skip = first, (offset - start) // _INSTRUCTION
                    break
    state = State()
    codes = xdata.codes
    while index < len(codes):
        code, size = codes[index], _size(codes[index])
        if code == _END:
            return state.rule()
        if skip:
            skip -= 1
        elif code != _END_C and not state.undo(code, codes[index + 1 : index + size]):
            return None
        index += size
    return state.rule() if not codes else None


class State:
    """The stack pointer as a register plus a constant while codes are undone, and where registers were saved."""

    def __init__(self) -> None:
        self.base, self.at = _SP, 0
        self.saves: Dict[int, Tuple[int, int]] = {}
        self._following = 0
        """save_next codes met: pairs behind the one that the next save names."""

    def undo(self, code: int, more: bytes) -> bool:
        """One code; False for one that is not known here."""
        low = int.from_bytes(bytes([code & 0x3F]) + more, "big")
        offset = 8 * (low & 0x3F)
        if code < 0x20:  # alloc_s
            self.at += 16 * code
        elif code < 0x40:  # save_r19r20_x
            self._save_pair(19, 0)
            self.at += 8 * (code & 0x1F)
        elif code < 0x80:  # save_fplr
            self._save((_FP, _LR), 8 * (code & 0x3F))
        elif code < 0xC0:  # save_fplr_x
            self._save((_FP, _LR), 0)
            self.at += 8 * (code & 0x3F) + 8
        elif code < 0xC8:  # alloc_m
            self.at += 16 * (low & 0x7FF)
        elif code < 0xCC:  # save_regp
            self._save_pair(19 + (low >> 6 & 0xF), offset)
        elif code < 0xD0:  # save_regp_x
            self._save_pair(19 + (low >> 6 & 0xF), 0)
            self.at += offset + 8
        elif code < 0xD4:  # save_reg
            self._save((19 + (low >> 6 & 0xF),), offset)
        elif code < 0xD6:  # save_reg_x
            self._save((19 + (low >> 5 & 0xF),), 0)
            self.at += 8 * (low & 0x1F) + 8
        elif code < 0xD8:  # save_lrpair
            self._save((19 + 2 * (low >> 6 & 7), _LR), offset)
        elif code < 0xDA:  # save_fregp: floating point
            pass
        elif code < 0xDC:  # save_fregp_x
            self.at += offset + 8
        elif code < 0xDE:  # save_freg
            pass
        elif code == 0xDE:  # save_freg_x
            self.at += 8 * (more[0] & 0x1F) + 8 if more else 0
        elif code == 0xE0:  # alloc_l
            self.at += 16 * int.from_bytes(more, "big")
        elif code == 0xE1:  # set_fp
            self.base, self.at = _FP, 0
        elif code == 0xE2:  # add_fp
            self.base, self.at = _FP, -8 * int.from_bytes(more, "big")
        elif code == 0xE6:  # save_next
            self._following += 1
        elif code not in (0xE3, 0xFC):  # nop, pac_sign_lr
            return False
        return True

    def _save_pair(self, register: int, offset: int) -> None:
        for pair in range(self._following + 1):
            self._save((register + 2 * pair, register + 2 * pair + 1), offset + 16 * pair)
        self._following = 0

    def _save(self, registers: Tuple[int, ...], offset: int) -> None:
        for position, register in enumerate(registers):
            if register <= _LR:
                self.saves[register] = (self.base, self.at + offset + 8 * position)

    def rule(self) -> Rule:
        near, others = [], []
        for register, (base, offset) in self.saves.items():
            if base == self.base:
                near.append((register, offset - self.at))
            else:
                others.append(Save(register, rules.AT_REGISTER, offset, base))
        return Rule("unwind-info", self.base, self.at, tuple(near), tuple(others))


def packed_rule(word: int, offset: Optional[int]) -> Optional[Rule]:
    """The rule of packed unwind data (its low two bits 1 or 2); None for addresses in its prologue or epilogue, whose
    instructions are not told apart here, and for leaf forms without a saved return address."""
    kind, length = word & 3, _INSTRUCTION * (word >> 2 & 0x7FF)
    floats, integers, home, linked, frame = word >> 13 & 7, word >> 16 & 0xF, word >> 20 & 1, word >> 21 & 3, word >> 23
    if kind not in (1, 2) or integers > 10:
        return None
    if offset is not None and not 32 < offset < length - 32:
        return None
    size = 16 * frame
    saved = 8 * integers + (8 if linked == 1 else 0) + (8 * (floats + 1) if floats else 0)
    saved = (saved + 64 * home + 15) & ~15
    local = size - saved
    if local < 0:
        return None
    saves = {19 + n: n * 8 - saved for n in range(integers)}
    if linked == 1:
        saves[_LR] = 8 * integers - saved
    elif linked in (2, 3):
        saves[_FP], saves[_LR] = -size, 8 - size
    if linked == 3:
        return Rule("unwind-info", _FP, size, tuple(saves.items()))
    return Rule("unwind-info", _SP, size, tuple(saves.items()))
