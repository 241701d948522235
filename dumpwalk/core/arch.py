"""What the analysis needs to know of a machine: register roles and how a system call looks.

Sources: System V AMD64 ABI and AAPCS64 (callee-saved registers, arguments); Linux syscall(2) (number and argument
registers); for Apple the trap instruction and the class bits of the number (xnu osfmk/mach/i386/syscall_sw.h).
"""

from __future__ import annotations

from typing import Dict, Tuple

from dumpwalk.core.vocabulary import ArchName
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Arch:
    name: ArchName
    pc: str
    sp: str
    fp: str
    lr: str
    """Empty where the return address is on the stack."""
    thread_pointer: str
    """The register that leads to the thread's control block; cores of macOS hold none."""
    arguments: Tuple[str, ...]
    """Integer arguments of a C call."""
    syscall_arguments: Tuple[str, ...]
    syscall_number: str
    """Register with the number in the dump; orig_rax is known for ELF x64 cores only."""
    syscall_result: str
    callee_saved: Tuple[str, ...]
    general: Tuple[str, ...]
    syscall_instruction: bytes
    syscall_before_pc: int
    """The instruction lies at pc minus this: 2 on x64; on arm64 Linux leaves pc at the svc (0), macOS behind it (4)."""
    min_instruction: int
    frame_pointers: bool = False
    """Every function keeps one: Apple's ABIs say so."""


_X64 = Arch(
    name="x86_64",
    pc="rip",
    sp="rsp",
    fp="rbp",
    lr="",
    thread_pointer="fs_base",
    arguments=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    syscall_arguments=("rdi", "rsi", "rdx", "r10", "r8", "r9"),
    syscall_number="orig_rax",
    syscall_result="rax",
    callee_saved=("rbx", "r12", "r13", "r14", "r15", "rbp"),
    general=("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
    syscall_instruction=b"\x0f\x05",
    syscall_before_pc=2,
    min_instruction=1,
)

_ARM64 = Arch(
    name="aarch64",
    pc="pc",
    sp="sp",
    fp="fp",
    lr="lr",
    thread_pointer="tpidr",
    arguments=tuple(f"x{i}" for i in range(8)),
    syscall_arguments=tuple(f"x{i}" for i in range(6)),
    syscall_number="x8",
    syscall_result="x0",
    callee_saved=tuple(f"x{i}" for i in range(19, 29)),
    general=tuple(f"x{i}" for i in range(29)),
    syscall_instruction=b"\x01\x00\x00\xd4",
    syscall_before_pc=0,
    min_instruction=4,
)

_DARWIN_ARM64 = Arch(
    **{
        **_ARM64.__dict__,
        "syscall_number": "x16",
        "syscall_instruction": b"\x01\x10\x00\xd4",
        "syscall_before_pc": 4,
        "frame_pointers": True,
    }
)
_DARWIN_X64 = Arch(**{**_X64.__dict__, "syscall_number": "rax", "frame_pointers": True})

ARCHES: Dict[Tuple[str, str], Arch] = {
    ("linux", "x86_64"): _X64,
    ("linux", "aarch64"): _ARM64,
    ("macos", "x86_64"): _DARWIN_X64,
    ("macos", "aarch64"): _DARWIN_ARM64,
}


def arch_for(os: str, name: str) -> Arch:
    """The description of one platform. Raises KeyError for a machine that preflight would have refused."""
    return ARCHES[(os, name)]
