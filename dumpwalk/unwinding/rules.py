"""How to get from one frame to its caller: a rule, whatever it was read from, and its application.

A rule is true of one code address. It names the canonical frame address (CFA, the caller's stack pointer at the call) and
where the caller's registers lie. CFI rows, Windows-style unwind codes of managed code and signal frames all become rules;
each address's rule is made once.
"""

from __future__ import annotations

import struct
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from dumpwalk.core.memory import Memory
from dumpwalk.core.vocabulary import Trust
from dumpwalk.unwinding.expressions import evaluate
from dumpwalk.unwinding.registers import RegisterFile, Values

AT_CFA, IS_CFA, IN_REGISTER, AT_EXPRESSION, IS_EXPRESSION, LOST, AT_REGISTER = range(7)
"""Where a register's value is: [CFA + n], CFA + n, another register, [expression], the expression, nowhere, [register + n]."""

_WORD = 0xFFFFFFFFFFFFFFFF
_U64 = struct.Struct("<Q")
_PAGE = 0x1000
_PAGES_KEPT = 64


class Save(NamedTuple):
    register: int
    kind: int
    value: int = 0
    base: int = 0
    """For AT_REGISTER, and the source for IN_REGISTER."""
    expression: bytes = b""


class Rule(NamedTuple):
    trust: Trust
    """cfi or unwind-info: what a frame found by it rests on."""
    cfa_register: int
    cfa_offset: int
    near: Tuple[Tuple[int, int], ...]
    """(register, offset): saved at [CFA + offset]. Nearly every rule consists of these alone."""
    others: Tuple[Save, ...] = ()
    cfa_expression: bytes = b""
    interrupted: bool = False
    """A signal frame: its caller's pc is the very instruction, not the one behind a call, and all registers are known."""
    outermost: bool = False
    """The return address is undefined: no frame calls this one."""
    sp: Optional[Save] = None
    """Where the caller's stack pointer is, where it is not the CFA (signal frames)."""


class Words:
    """64-bit words of memory, read by the page: a stack's words are asked for one by one."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._pages: Dict[int, Optional[bytes]] = {}

    def at(self, address: int) -> Optional[int]:
        if not 0 <= address <= _WORD - 7:
            return None
        page, offset = address & ~(_PAGE - 1), address & (_PAGE - 1)
        if offset <= _PAGE - 8:
            if page not in self._pages:
                if len(self._pages) >= _PAGES_KEPT:
                    self._pages.clear()
                self._pages[page] = self._memory.read(page, _PAGE)
            data = self._pages[page]
            if data is not None:
                return int(_U64.unpack_from(data, offset)[0])
        word = self._memory.read(address, 8)
        return int(_U64.unpack(word)[0]) if word is not None else None


def apply(rule: Rule, values: Sequence[Optional[int]], registers: RegisterFile, words: Words) -> Optional[Values]:
    """The caller's registers; None when the CFA or the return address cannot be told. The CFA becomes its sp."""
    if rule.cfa_expression:
        found = evaluate(rule.cfa_expression, values, words, None)
        if found is None:
            return None
        cfa = found
    else:
        base = values[rule.cfa_register]
        if base is None:
            return None
        cfa = (base + rule.cfa_offset) & _WORD
    caller: Values = list(values)
    if not rule.interrupted:
        for number in registers.volatile:
            caller[number] = None
    for number, offset in rule.near:
        caller[number] = words.at((cfa + offset) & _WORD)
    for save in rule.others:
        if save.register < len(caller):
            caller[save.register] = _value(save, cfa, values, words)
    caller[registers.sp] = cfa if rule.sp is None else _value(rule.sp, cfa, values, words)
    if registers.link is not None and not rule.interrupted:
        caller[registers.pc] = caller[registers.link]
    return caller if caller[registers.pc] is not None and caller[registers.sp] is not None else None


def _value(save: Save, cfa: int, values: Sequence[Optional[int]], words: Words) -> Optional[int]:
    kind = save.kind
    if kind == AT_CFA:
        return words.at((cfa + save.value) & _WORD)
    if kind == IS_CFA:
        return (cfa + save.value) & _WORD
    if kind in (IN_REGISTER, AT_REGISTER):
        base = values[save.base] if save.base < len(values) else None
        if base is None or kind == IN_REGISTER:
            return base
        return words.at((base + save.value) & _WORD)
    if kind in (AT_EXPRESSION, IS_EXPRESSION):
        found = evaluate(save.expression, values, words, cfa)
        return words.at(found) if found is not None and kind == AT_EXPRESSION else found
    return None


def split(saves: Sequence[Save], count: int) -> Tuple[Tuple[Tuple[int, int], ...], Tuple[Save, ...]]:
    """(near, others) of a rule for a machine with `count` registers: what it saves of others is of no use here."""
    near: List[Tuple[int, int]] = []
    others: List[Save] = []
    for save in saves:
        if save.register < count:
            if save.kind == AT_CFA:
                near.append((save.register, save.value))
            else:
                others.append(save)
    return tuple(near), tuple(others)
