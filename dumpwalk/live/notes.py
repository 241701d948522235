"""The notes of an ELF core, made of a live process as the kernel makes them of a dying one.

Layouts: Linux include/uapi/linux/elfcore.h (elf_prstatus, elf_prpsinfo), fs/binfmt_elf.c (fill_note_info, fill_files_note).
"""

from __future__ import annotations

import os
import struct
from typing import Iterator, List, Sequence, Tuple

from dumpwalk.live.maps import Mapping
from dumpwalk.live.ptrace import ARM_PAC_MASK, ARM_TLS, PRFPREG, PRSTATUS, X86_XSTATE, StoppedThread
from dumpwalk.live.target import LiveTarget

_NT_PRPSINFO, _NT_AUXV, _NT_FILE = 3, 6, 0x46494C45
_PAGE = 4096

Note = Tuple[bytes, int, bytes]
"""(owner, type, contents)"""


def notes_of(
    target: LiveTarget, threads: Sequence[StoppedThread], maps: Sequence[Mapping], auxv: bytes
) -> Iterator[Note]:
    """All notes in the kernel's order: the process's own behind the first thread's status."""
    for position, thread in enumerate(threads):
        sets = thread.registers
        yield b"CORE", PRSTATUS, _status(target, thread)
        if position == 0:
            yield b"CORE", _NT_PRPSINFO, _process(target)
            yield b"CORE", _NT_AUXV, auxv
            yield b"CORE", _NT_FILE, _files(maps)
        if PRFPREG in sets:
            yield b"CORE", PRFPREG, sets[PRFPREG]
        for kind in (X86_XSTATE, ARM_TLS, ARM_PAC_MASK):
            if kind in sets:
                yield b"LINUX", kind, sets[kind]


def _status(target: LiveTarget, thread: StoppedThread) -> bytes:
    """elf_prstatus without a signal: nothing made the process die."""
    head = struct.pack("<iiihHQQ4i", 0, 0, 0, 0, 0, 0, 0, thread.tid, target.parent, 0, 0)
    return head + bytes(64) + thread.registers[PRSTATUS] + struct.pack("<ii", int(PRFPREG in thread.registers), 0)


def _process(target: LiveTarget) -> bytes:
    """elf_prpsinfo: the arguments are told up to 79 bytes."""
    letter = target.state[:1].encode("ascii", "replace") or b"R"
    name = target.name.encode("utf-8", "surrogateescape")[:15]
    arguments = target.command_line.rstrip(b"\0").replace(b"\0", b" ")[:79]
    head = struct.pack(
        "<BcBbiQIIiiii", 0, letter, 0, 0, 0, 0, target.user, target.user, target.pid, target.parent, 0, 0
    )
    return head + name.ljust(16, b"\0") + arguments.ljust(80, b"\0")


def _files(maps: Sequence[Mapping]) -> bytes:
    """NT_FILE; its offsets are in pages."""
    size = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else _PAGE
    entries: List[bytes] = []
    names: List[bytes] = []
    for mapping in maps:
        if mapping.file:
            entries.append(struct.pack("<QQQ", mapping.start, mapping.end, mapping.offset // size))
            names.append(mapping.name.encode("utf-8", "surrogateescape").replace(b" (deleted)", b"") + b"\0")
    return struct.pack("<QQ", len(entries), size) + b"".join(entries) + b"".join(names)
