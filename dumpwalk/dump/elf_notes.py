"""The notes of an ELF core: threads with registers, process, mapped files, auxiliary vector, signal.

struct and not pyelftools: a core of 10,000 threads has 30,000 notes, which pyelftools takes apart in seconds and this
module in some tens of milliseconds. tests/test_preflight_elf.py compares both on the same cores.

Sources of the layouts: Linux include/uapi/linux/elfcore.h (elf_prstatus, elf_prpsinfo), include/uapi/linux/elf.h (note
types), fs/binfmt_elf.c (fill_files_note, order of the notes), arch/x86/include/asm/user_64.h (user_regs_struct),
arch/arm64/include/uapi/asm/ptrace.h (user_pt_regs, user_pac_mask), include/uapi/asm-generic/siginfo.h.
"""

from __future__ import annotations

import collections.abc
import struct
from dataclasses import field
from typing import Dict, Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import CoreThread
from dumpwalk.core.vocabulary import TidSource
from dumpwalk.dataclass import dataclass
from dumpwalk.dump.evidence_note import ELF_OWNER, ELF_TYPE
from dumpwalk.images.elf import Bytes, notes

NT_PRSTATUS = 1
NT_PRPSINFO = 3
NT_AUXV = 6
NT_FILE = 0x46494C45
NT_SIGINFO = 0x53494749
NT_ARM_PAC_MASK = 0x406
NT_ARM_TLS = 0x401

AT_SYSINFO_EHDR = 33
AT_STRINGS = (15, 25, 31)
"""AT_PLATFORM, AT_RANDOM, AT_EXECFN: addresses among the strings of the initial stack (fs/binfmt_elf.c, create_elf_tables)."""

_PRSTATUS_REGISTERS = 112
"""elf_prstatus: 12 bytes of signal numbers, pr_cursig at 12, pr_pid at 32, four times at 48, registers from 112."""

_REGISTERS: Dict[str, Tuple[str, ...]] = {
    "x86_64": (
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
        "orig_rax", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
    ),
    "aarch64": (*(f"x{i}" for i in range(29)), "fp", "lr", "sp", "pc", "cpsr"),
}  # fmt: skip


@dataclass(frozen=True)
class Mapping:
    """One line of NT_FILE. `offset` is in pages of the mapping process, of `page` bytes as the note says."""

    start: int
    end: int
    offset: int
    path: str
    page: int = 0x1000


@dataclass(frozen=True)
class SignalInfo:
    """siginfo_t of the signal that stopped a thread. `sender` is meant only for codes SI_USER and SI_TKILL."""

    signal: int
    code: int
    sender: int
    address: int
    """Fault address, meant only for positive codes of SIGSEGV, SIGBUS, SIGILL, SIGFPE."""
    thread: Optional[int]
    """tid of the PRSTATUS that precedes it, None when none does."""


@dataclass
class ElfNotes:
    threads: List[CoreThread] = field(default_factory=list)
    pid: Optional[int] = None
    parent_pid: Optional[int] = None
    process_name: Optional[str] = None
    auxv: Dict[int, int] = field(default_factory=dict)
    mappings: List[Mapping] = field(default_factory=list)
    signals: List[SignalInfo] = field(default_factory=list)
    order: List[int] = field(default_factory=list)
    """Types of the first notes, whatever their owner: each writer has its own order."""
    owners: List[str] = field(default_factory=list)
    pac_mask: int = 0
    cut: bool = False
    """The notes end in the middle of one: the file is truncated, or a size in it is wrong."""
    thread_limit: bool = False
    files_damaged: bool = False
    """NT_FILE's count does not fit its entries and names."""
    evidence: Optional[bytes] = None
    """What an evidence core says of itself."""


class _Registers(collections.abc.Mapping[str, int]):
    """A thread's registers as they stand in its note, read when asked for: a tenth of a dictionary of numbers."""

    __slots__ = ("_data", "_positions", "thread_pointer")

    def __init__(self, positions: Dict[str, int], data: bytes) -> None:
        self._positions = positions
        self._data = data
        self.thread_pointer: Optional[int] = None
        """arm64: TPIDR_EL0, which has a note of its own."""

    def __getitem__(self, name: str) -> int:
        if name == "tpidr" and self.thread_pointer is not None:
            return self.thread_pointer
        at = self._positions[name]
        return int.from_bytes(self._data[at : at + 8], "little")

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)


def parse(data: Bytes, arch: str, into: ElfNotes) -> None:
    """Add the notes of one PT_NOTE segment. Raises nothing: what does not fit its type is left out."""
    names = _REGISTERS[arch]
    whole = _PRSTATUS_REGISTERS + 8 * len(names)
    positions = {name: 8 * position for position, name in enumerate(names)}
    position = 0
    for owner, kind, body, position in notes(data):  # noqa: B007 - where the last whole note ends
        if len(into.order) < 16:
            into.order.append(kind)
        if owner not in into.owners and len(into.owners) < 16:
            into.owners.append(owner)
        if owner == "CORE":
            if kind == NT_PRSTATUS and len(body) >= whole:
                if len(into.threads) >= limits.THREADS:
                    into.thread_limit = True
                    continue
                (signal,) = struct.unpack_from("<H", body, 12)
                (tid,) = struct.unpack_from("<i", body, 32)
                values = _Registers(positions, bytes(body[_PRSTATUS_REGISTERS:whole]))
                source: TidSource = "os" if tid > 0 else "synthetic"
                into.threads.append(CoreThread(tid if tid > 0 else None, source, values, signal or None))
            elif kind == NT_PRPSINFO and len(body) >= 56:
                pid, parent = struct.unpack_from("<ii", body, 24)
                into.parent_pid = parent if parent > 0 else None
                into.pid = pid if pid > 0 else None
                into.process_name = _text(bytes(body[40:56]).split(b"\0")[0]) or None
            elif kind == NT_AUXV:
                count = min(len(body) // 16, 256)
                words = struct.unpack_from(f"<{2 * count}Q", body, 0)
                into.auxv.update(zip(words[::2], words[1::2]))
            elif kind == NT_FILE:
                into.mappings.extend(_mappings(body))
                into.files_damaged = into.files_damaged or not _files_whole(body)
            elif kind == NT_SIGINFO and len(body) >= 24 and len(into.signals) < limits.THREADS:
                signal, _, code, _, sender = struct.unpack_from("<iiiii", body, 0)
                (address,) = struct.unpack_from("<Q", body, 16)
                last = into.threads[-1].tid if into.threads else None
                into.signals.append(SignalInfo(signal, code, sender, address, last))
        elif owner == "LINUX" and kind == NT_ARM_TLS and len(body) >= 8 and into.threads:
            last_registers = into.threads[-1].registers
            if isinstance(last_registers, _Registers):
                last_registers.thread_pointer = struct.unpack_from("<Q", body, 0)[0]
        elif owner == ELF_OWNER and kind == ELF_TYPE:
            into.evidence = bytes(body[: limits.METADATA_BYTES])
        elif owner == "LINUX" and kind == NT_ARM_PAC_MASK and len(body) >= 16:
            into.pac_mask |= struct.unpack_from("<QQ", body, 0)[1]
    into.cut = into.cut or position + 4 < len(data)


def _mappings(body: Bytes) -> List[Mapping]:
    if len(body) < 16:
        return []
    count, page = struct.unpack_from("<QQ", body, 0)
    count = min(count, (len(body) - 16) // 25)  # 24 bytes and at least the NUL of its path
    names = bytes(body[16 + 24 * count :]).split(b"\0", count)
    found = []
    for index, (start, end, offset) in enumerate(struct.iter_unpack("<QQQ", body[16 : 16 + 24 * count])):
        if index >= len(names) - 1:  # the last piece lacks its NUL: cut
            break
        if start < end:
            found.append(Mapping(start, end, offset, _text(names[index]), page))
    return found


def _files_whole(body: Bytes) -> bool:
    """The count, that many entries, then that many names, each with its NUL, and nothing behind them (fs/binfmt_elf.c);
    createdump pads with NULs."""
    if len(body) < 16:
        return False
    (count,) = struct.unpack_from("<Q", body, 0)
    if count > (len(body) - 16) // 25:
        return False
    names = bytes(body[16 + 24 * count :]).split(b"\0", count)
    return len(names) > count and not names[count].strip(b"\0")


def _text(raw: bytes) -> str:
    return raw[: limits.NAME_CHARACTERS * 8].decode("utf-8", "backslashreplace")
