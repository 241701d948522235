"""DWARF expressions as CFI uses them: signal frames of glibc, PLT entries, hand-written assembly.

Source: DWARF 5, 2.5 and 6.4.2. Operators that CFI may not use (calls, pieces, object addresses) and unknown ones give None.
Bounds: as many steps as limits.CFI_STEPS, 64 values on the stack; every value is cut to 64 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Sequence

from dumpwalk import limits
from dumpwalk.unwinding.leb128 import Cursor

if TYPE_CHECKING:
    from dumpwalk.unwinding.rules import Words

_WORD = 0xFFFFFFFFFFFFFFFF
_STACK = 64
_SIZES = {0x08: (1, False), 0x09: (1, True), 0x0A: (2, False), 0x0B: (2, True), 0x0C: (4, False), 0x0D: (4, True),
          0x0E: (8, False), 0x0F: (8, True), 0x03: (8, False)}  # fmt: skip
"""DW_OP_addr, const1u to const8s."""


def evaluate(code: bytes, values: Sequence[Optional[int]], words: Words, first: Optional[int]) -> Optional[int]:
    """The value on top when the expression ends; `first` (the CFA, for register rules) is on the stack at its start."""
    stack: List[int] = [] if first is None else [first]
    cursor = Cursor(code)
    try:
        for _ in range(limits.CFI_STEPS):
            if cursor.at >= len(code):
                return stack[-1]
            _step(cursor, stack, values, words)
            if len(stack) > _STACK:
                return None
    except (ValueError, IndexError):
        return None
    return None


def _step(cursor: Cursor, stack: List[int], values: Sequence[Optional[int]], words: Words) -> None:
    """One operator. Raises ValueError (unknown operator, lost register, no memory) or IndexError (stack empty)."""
    op = cursor.unsigned(1)
    if 0x30 <= op <= 0x4F:  # DW_OP_lit0 to lit31
        stack.append(op - 0x30)
    elif 0x70 <= op <= 0x8F or op == 0x92:  # DW_OP_breg0 to breg31, bregx
        register = op - 0x70 if op != 0x92 else cursor.uleb()
        value = values[register] if register < len(values) else None
        if value is None:
            raise ValueError("a register that is not known")
        stack.append((value + cursor.sleb()) & _WORD)
    elif op in _SIZES:
        size, signed = _SIZES[op]
        stack.append((cursor.signed(size) if signed else cursor.unsigned(size)) & _WORD)
    elif op == 0x10:  # constu
        stack.append(cursor.uleb() & _WORD)
    elif op == 0x11:  # consts
        stack.append(cursor.sleb() & _WORD)
    elif op == 0x23:  # plus_uconst
        stack.append((stack.pop() + cursor.uleb()) & _WORD)
    elif op in (0x06, 0x94):  # deref, deref_size
        size = 8 if op == 0x06 else cursor.unsigned(1)
        word = words.at(stack.pop())
        if word is None or not 1 <= size <= 8:
            raise ValueError("memory that was not captured")
        stack.append(word & (1 << 8 * size) - 1)
    elif op == 0x28:  # bra
        distance = cursor.signed(2)
        if stack.pop():
            cursor.skip(distance)
    elif op == 0x2F:  # skip
        cursor.skip(cursor.signed(2))
    elif op == 0x96:  # nop
        pass
    elif 0x12 <= op <= 0x17:
        _shuffle(op, cursor, stack)
    else:
        _compute(op, stack)


def _shuffle(op: int, cursor: Cursor, stack: List[int]) -> None:
    if op == 0x12:  # dup
        stack.append(stack[-1])
    elif op == 0x13:  # drop
        stack.pop()
    elif op == 0x14:  # over
        stack.append(stack[-2])
    elif op == 0x15:  # pick
        stack.append(stack[-1 - cursor.unsigned(1)])
    elif op == 0x16:  # swap
        stack[-1], stack[-2] = stack[-2], stack[-1]
    else:  # rot
        stack[-1], stack[-2], stack[-3] = stack[-2], stack[-3], stack[-1]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _compute(op: int, stack: List[int]) -> None:
    if op in (0x19, 0x1F, 0x20):  # abs, neg, not
        value = _signed(stack.pop())
        stack.append((abs(value) if op == 0x19 else -value if op == 0x1F else ~value) & _WORD)
        return
    right, left = stack.pop(), stack.pop()
    signed_left, signed_right = _signed(left), _signed(right)
    if op in (0x1B, 0x1D) and not right:
        raise ValueError("division by zero")
    shift = min(right, 64)
    if op == 0x1A:
        value = left & right
    elif op == 0x1B:  # div, towards zero
        value = abs(signed_left) // abs(signed_right)
        value = -value if (signed_left < 0) != (signed_right < 0) else value
    elif op == 0x1C:
        value = left - right
    elif op == 0x1D:
        value = left % right
    elif op == 0x1E:
        value = left * right
    elif op == 0x21:
        value = left | right
    elif op == 0x22:
        value = left + right
    elif op == 0x24:
        value = left << shift
    elif op == 0x25:
        value = left >> shift
    elif op == 0x26:
        value = signed_left >> shift
    elif op == 0x27:
        value = left ^ right
    elif op == 0x29:
        value = int(left == right)
    elif op == 0x2A:
        value = int(signed_left >= signed_right)
    elif op == 0x2B:
        value = int(signed_left > signed_right)
    elif op == 0x2C:
        value = int(signed_left <= signed_right)
    elif op == 0x2D:
        value = int(signed_left < signed_right)
    elif op == 0x2E:
        value = int(left != right)
    else:
        raise ValueError(f"operator {op:#x}")
    stack.append(value & _WORD)
