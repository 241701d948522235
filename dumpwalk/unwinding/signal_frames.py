"""Frames of a signal handler's return: the interrupted thread's registers as the Linux kernel put them on the stack.

Recognised by the two instructions every libc and vdso returns from a handler with (mov $15, %eax; syscall / mov x8, #139;
svc #0). glibc describes its trampoline in CFI; musl does not, and the CFI of arm64's vdso names the frame record instead of
the interrupted pc. Sources: Linux arch/x86/include/uapi/asm/sigcontext.h, include/uapi/asm/ucontext.h;
arch/arm64/kernel/signal.c (struct rt_sigframe), arch/arm64/include/uapi/asm/sigcontext.h.
"""

from __future__ import annotations

from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.unwinding.registers import RegisterFile
from dumpwalk.unwinding.rules import AT_CFA, AT_REGISTER, Rule, Save

_X64_RETURNS = (b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", b"\xb8\x0f\x00\x00\x00\x0f\x05")
_ARM64_RETURN = b"\x68\x11\x80\xd2\x01\x00\x00\xd4"

_X64_ORDER = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx")
"""sigcontext in order; then rsp, rip."""
_X64_CONTEXT = 40
"""uc_flags, uc_link, uc_stack stand before it; rsp points at the ucontext when the handler has returned."""
_ARM64_CONTEXT = 128 + 176 + 8
"""siginfo, the ucontext up to uc_mcontext, fault_address; then x0 to x30, sp, pc."""


def returns_from_handler(code: Memory, pc: int) -> bool:
    """Do the instructions at pc return from a signal handler, on x64 or arm64?"""
    return code.read(pc, 8) == _ARM64_RETURN or any(code.read(pc, len(one)) == one for one in _X64_RETURNS)


def signal_rule(code: Memory, pc: int, registers: RegisterFile) -> Optional[Rule]:
    """The rule of a frame whose pc is at such a trampoline."""
    if registers.link is not None:
        return _arm64(registers) if code.read(pc, 8) == _ARM64_RETURN else None
    for instructions in _X64_RETURNS:
        if code.read(pc, len(instructions)) == instructions:
            return _x64(registers)
    return None


def _x64(registers: RegisterFile) -> Rule:
    """The CFA of this rule is the frame's own rsp: every register is an offset from it."""
    near = [(registers.numbers[name], _X64_CONTEXT + 8 * n) for n, name in enumerate(_X64_ORDER)]
    at = _X64_CONTEXT + 8 * len(_X64_ORDER)
    near.append((registers.pc, at + 8))
    return Rule("cfi", registers.sp, 0, tuple(near), interrupted=True, sp=Save(registers.sp, AT_CFA, at))


def _arm64(registers: RegisterFile) -> Rule:
    near = [(number, _ARM64_CONTEXT + 8 * number) for number in range(31)]
    at = _ARM64_CONTEXT + 8 * 31
    near.append((registers.pc, at + 8))
    sp = Save(registers.sp, AT_REGISTER, at, base=registers.sp)
    return Rule("cfi", registers.sp, 0, tuple(near), interrupted=True, sp=sp)
