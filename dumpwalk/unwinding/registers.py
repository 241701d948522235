"""Registers by their DWARF numbers, which CFI and the rules of this package use.

Sources: System V AMD64 psABI, figure 3.36 (0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8 to 15, 16 the return
address); DWARF for the Arm 64-bit architecture, 4.1 (0 to 30, 31 sp, 32 pc). Callee-saved: psABI 3.2.1, AAPCS64 6.1.1.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Mapping, Optional, Tuple

from dumpwalk.core.arch import Arch
from dumpwalk.dataclass import dataclass

Values = List[Optional[int]]
"""A frame's registers by DWARF number; None where the value was lost."""


@dataclass(frozen=True)
class RegisterFile:
    names: Tuple[str, ...]
    sp: int
    fp: int
    pc: int
    link: Optional[int]
    """Where a call leaves its return address; None where that is on the stack."""
    volatile: Tuple[int, ...]
    """Not preserved by calls: unknown in every frame but the innermost and an interrupted one."""
    numbers: Dict[str, int]

    def values(self, registers: Mapping[str, int]) -> Values:
        """Frame 0's registers from the core's note."""
        return [registers.get(name) for name in self.names]


def _file(names: Tuple[str, ...], sp: str, fp: str, pc: str, link: Optional[str], kept: FrozenSet[str]) -> RegisterFile:
    numbers = {name: number for number, name in enumerate(names)}
    special = {sp, fp, pc, *([link] if link else [])}
    volatile = tuple(number for name, number in numbers.items() if name not in kept and name not in special)
    return RegisterFile(
        names, numbers[sp], numbers[fp], numbers[pc], numbers[link] if link else None, volatile, numbers
    )


_X64 = _file(
    ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)), "rip"),
    "rsp", "rbp", "rip", None, frozenset(("rbx", "r12", "r13", "r14", "r15")),
)  # fmt: skip
_ARM64 = _file(
    (*(f"x{n}" for n in range(29)), "fp", "lr", "sp", "pc"),
    "sp", "fp", "pc", "lr", frozenset(f"x{n}" for n in range(19, 29)),
)  # fmt: skip


def register_file(arch: Arch) -> RegisterFile:
    return _ARM64 if arch.name == "aarch64" else _X64
