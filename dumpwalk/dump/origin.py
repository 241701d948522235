"""Who wrote an ELF core, what memory it holds, and whether a crash made it: by marks found in real cores.

How the marks were found: one small program was dumped by Linux 6.18 (signals from within, by kill, with two values of
coredump_filter) and by gdb 13 (running and stopped at a SIGSEGV), two .NET programs by createdump of 3.1.23 and a later
runtime in all four kinds; then notes and segments were compared. What a mark does not tell is said beside it.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import field
from typing import List, Optional, Sequence, Tuple

from dumpwalk.core.corefile import CoreThread, Segment
from dumpwalk.core.memory import Memory
from dumpwalk.core.signals import is_fault, name_of
from dumpwalk.core.vocabulary import DumpKind, Producer
from dumpwalk.dataclass import dataclass
from dumpwalk.dump.elf_notes import NT_AUXV, NT_FILE, NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO, ElfNotes

DIAGINFO_LINUX = (0x7FFFFFF10000,)
DIAGINFO_MACOS = (0x7FFFFFFF10000000, 0x7FFFFFF10000)
"""SPECIAL_DIAGINFO of createdump (dotnet/runtime src/coreclr/debug/createdump/specialdiaginfo.h); the second macOS
address since PR 130443."""
_DIAGINFO_SIGNATURE = b"DIAGINFOHEADER\0\0"

_SI_USER, _SI_TKILL = 0, -6
_SIGTRAP = 5
TRAPS = {1: "TRAP_BRKPT", 2: "TRAP_TRACE", 3: "TRAP_BRANCH", 4: "TRAP_HWBKPT", 0x80: "SI_KERNEL"}


def elf_producer(told: ElfNotes, memory: Memory) -> Producer:
    """createdump, kernel, gcore or unknown.

    - createdump: its DIAGINFO region, which 3.1 lacks, or the order PRPSINFO, AUXV, FILE, PRSTATUS of all versions.
    - kernel: PRSTATUS first, PRPSINFO second (fs/binfmt_elf.c fill_note_info), whatever follows.
    - gcore: PRPSINFO then PRSTATUS, AUXV and FILE behind the last thread (gdb linux-tdep.c), or a note owned by GDB.
    """
    order = told.order
    if any(memory.read(address, 16) == _DIAGINFO_SIGNATURE for address in DIAGINFO_LINUX):
        return "createdump"
    if order[:3] == [NT_PRPSINFO, NT_AUXV, NT_FILE]:
        return "createdump"
    if order[:2] == [NT_PRSTATUS, NT_PRPSINFO]:
        return "kernel"
    if "GDB" in told.owners or (order[:2] == [NT_PRPSINFO, NT_PRSTATUS] and NT_SIGINFO in order):
        return "gcore"
    return "unknown"


@dataclass(frozen=True)
class DiagInfo:
    runtime_base: Optional[int] = None
    """Where libcoreclr or the single-file host is loaded; version 2 and later."""
    crash_signal: Optional[int] = None
    """SIGSEGV or SIGABRT, which the runtime raises for the exception that the record tells of."""
    sentences: Tuple[str, ...] = ()


_EXCEPTIONS = {0xC0000005: ("an access violation", 11), 0xE0434352: ("an unhandled managed exception", 6)}
"""EXCEPTION_RECORD.ExceptionCode: STATUS_ACCESS_VIOLATION (pal/inc/pal.h), EXCEPTION_COMPLUS (inc/corexcep.h)."""


def diaginfo(memory: Memory, addresses: Sequence[int]) -> DiagInfo:
    """createdump's DIAGINFO region: char[16], i32 version, u64 exception record at 24, u64 runtime base at 32.

    An exception record in it means that a crash made the dump; its first word is the exception's code.
    """
    for address in addresses:
        data = memory.read(address, 40)
        if data is None or data[:16] != _DIAGINFO_SIGNATURE:
            continue
        (version,) = struct.unpack_from("<i", data, 16)
        record, base = struct.unpack_from("<QQ", data, 24)
        runtime_base = base if version >= 2 and base else None
        if not record:
            return DiagInfo(runtime_base)
        code = memory.read(record, 4)
        what, number = _EXCEPTIONS.get(int.from_bytes(code or b"", "little"), ("an exception", None))
        return DiagInfo(runtime_base, number, (f"createdump noted {what}: this core was made by a crash",))
    return DiagInfo()


@dataclass(frozen=True)
class Crash:
    thread: Optional[int] = None
    """tid of the thread whose own signal made the dump; None when none did, or when the file does not tell."""
    signal: Optional[int] = None
    sentences: List[str] = field(default_factory=list)


def crash(told: ElfNotes, producer: Producer, pid: Optional[int]) -> Crash:
    """Whether a thread's own signal made the dump, from NT_SIGINFO and the writer's habits.

    Kernel: the first thread is the one that died; a signal that another process sent (SI_USER, other pid) is no crash.
    gcore: every thread has a siginfo, of which a stop by the debugger (SIGSTOP, SIGTRAP) says nothing.
    createdump: 3.1 gives SIGABRT to every thread whatever happened, so only a siginfo is believed, which later ones
    write behind the thread that crashed.
    """
    if producer == "kernel":
        first = told.threads[0]
        info = next((s for s in told.signals if s.thread == first.tid), None)
        number = info.signal if info else first.signal
        if not number:
            return Crash()
        name = name_of("linux", number)
        if info and info.code == _SI_USER and info.sender != pid:
            return Crash(sentences=[f"the kernel wrote this core for a {name} from another process; that is no crash"])
        how = "which it raised itself" if info and info.code in (_SI_USER, _SI_TKILL) else "a fault of its own"
        if info is None:
            how = "of which the core tells no more"
        return Crash(first.tid, number, [f"the kernel wrote this core because the first thread got {name}, {how}"])
    for info in told.signals:
        from_outside = info.code == _SI_USER and info.sender != pid
        if is_fault("linux", info.signal) and info.signal != _SIGTRAP and not from_outside:
            sentence = f"one thread was stopped at {name_of('linux', info.signal)} when the core was written"
            return Crash(info.thread, info.signal, [sentence])
    return Crash()


def trapped(told: ElfNotes, producer: Producer) -> Optional[Tuple[int, int]]:
    """(tid, code) of the first thread whose siginfo is a SIGTRAP of a breakpoint or a step, in a core that a debugger wrote.

    gdb saves what it last saw of each thread. A thread that it attached to, or stopped because another hit a breakpoint, has
    a SIGSTOP there; one that ran into a breakpoint has SIGTRAP with SI_KERNEL (x86's int3) or TRAP_BRKPT, one that was
    stepped TRAP_TRACE, one at a watched address TRAP_HWBKPT (include/uapi/asm-generic/siginfo.h). Without a debugger a thread
    that runs into one ends the process, and the kernel writes the core.
    """
    if producer != "gcore":
        return None
    hits = ((s.thread, s.code) for s in told.signals if s.signal == _SIGTRAP and s.code in TRAPS and s.thread)
    return next(hits, None)


def memory_kind(
    segments: Sequence[Segment], threads: Sequence[CoreThread], file_bytes: Tuple[int, int], stack_register: str
) -> DumpKind:
    """full, heap, mini or unknown, from which memory has bytes.

    - mini: stacks are captured from the page of the stack pointer upwards and no lower (createdump's GetThreadStack);
      so it was for all threads of the mini dumps compared and for none of the others. Normal and triage dumps look the
      same here, so triage is never said.
    - full: at least half of the bytes of mapped files are in the dump (`file_bytes`: all, held). It was 0.8 to 1 in the
      full dumps compared and at most 0.17 in others; a gcore or kernel core with the default coredump_filter is heap.
    """
    captured = sorted((s.start, s.start + s.file_size) for s in segments if s.file_size)
    at = below = 0
    for thread in threads:
        sp = thread.registers.get(stack_register, 0)
        if _holds(captured, sp):
            at += 1
            below += _holds(captured, (sp & ~0xFFF) - 1)
    if not at:
        return "unknown"
    if below * 2 < at:
        return "mini"
    total, held = file_bytes
    return "full" if total and held * 2 >= total else "heap"


def _holds(captured: List[Tuple[int, int]], address: int) -> bool:
    index = bisect_right(captured, (address, 1 << 65)) - 1
    return index >= 0 and captured[index][0] <= address < captured[index][1]
