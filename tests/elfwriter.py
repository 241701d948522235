"""Writes small ELF cores for tests. Shares nothing with the reader: layouts are spelled out here once more, from elf(5),
linux/elfcore.h and the fields as eu-readelf prints them."""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

X64_ORDER = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "orig_rax", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
]  # fmt: skip
ARM64_ORDER = [f"x{n}" for n in range(29)] + ["fp", "lr", "sp", "pc", "cpsr"]


class Load(NamedTuple):
    start: int
    data: bytes
    size: Optional[int] = None
    """Memory size when it is more than the bytes."""
    flags: str = "rw"


def note(owner: bytes, kind: int, body: bytes) -> bytes:
    name = owner + b"\0"
    return pack("<LLL", len(name), len(body), kind) + _four(name) + _four(body)


def prstatus(tid: int, registers: Dict[str, int], signal: int = 0, arm: bool = False) -> bytes:
    order = ARM64_ORDER if arm else X64_ORDER
    head = pack("<iiiH2xQQiiii", signal, 0, 0, signal, 0, 0, tid, 1, tid, tid) + bytes(64)
    assert len(head) == 112
    body = head + b"".join(pack("<Q", registers.get(name, 0)) for name in order) + pack("<i4x", 1)
    return note(b"CORE", 1, body)


def prpsinfo(pid: int, name: bytes) -> bytes:
    return note(
        b"CORE", 3, pack("<bbbbxxxxQIIiiii", 0, 82, 0, 0, 0, 0, 0, pid, 1, pid, pid) + name.ljust(16, b"\0") + bytes(80)
    )


def auxv(*pairs: Tuple[int, int]) -> bytes:
    return note(b"CORE", 6, b"".join(pack("<QQ", *pair) for pair in (*pairs, (0, 0))))


def nt_file(*rows: Tuple[int, int, int, bytes]) -> bytes:
    body = pack("<QQ", len(rows), 4096) + b"".join(pack("<QQQ", a, b, c) for a, b, c, _ in rows)
    return note(b"CORE", 0x46494C45, body + b"".join(name + b"\0" for *_, name in rows))


def siginfo(signal: int, code: int, sender: int = 0) -> bytes:
    return note(b"CORE", 0x53494749, pack("<iiiiii", signal, 0, code, 0, sender, 0).ljust(128, b"\0"))


def fpregset() -> bytes:
    return note(b"CORE", 2, bytes(512))


def core(
    notes: bytes,
    loads: Sequence[Load] = (),
    machine: int = 62,
    extended: bool = False,
    notes_last: bool = False,
    elf_class: int = 2,
    data: int = 1,
    kind: int = 4,
    osabi: int = 0,
) -> bytes:
    """The file's bytes. `extended`: the number of segments stands in section header 0, as beyond 65534."""
    count = len(loads) + 1
    table = 64
    header_end = table + 56 * count
    sections = 0
    if extended:
        sections, header_end = header_end, header_end + 64
    offset = header_end if notes_last else header_end + len(notes)
    heads: List[bytes] = []
    blobs: List[bytes] = []
    for load in loads:
        bits = sum({"r": 4, "w": 2, "x": 1}[c] for c in load.flags)
        size = len(load.data) if load.size is None else load.size
        heads.append(pack("<LLQQQQQQ", 1, bits, offset, load.start, 0, len(load.data), size, 4096))
        blobs.append(load.data)
        offset += len(load.data)
    at = offset if notes_last else header_end
    heads.insert(0, pack("<LLQQQQQQ", 4, 0, at, 0, 0, len(notes), 0, 4))
    ident = b"\x7fELF" + bytes([elf_class, data, 1, osabi]) + bytes(8)
    ehdr = ident + pack(
        "<HHLQQQLHHHHHH", kind, machine, 1, 0, table, sections, 0, 64, 56, 0xFFFF if extended else count,
        64 if extended else 0, 1 if extended else 0, 0,
    )  # fmt: skip
    section = pack("<LLQQQQLLQQ", 0, 0, 0, 0, 0, 1, 0, count, 0, 0) if extended else b""
    parts = [ehdr, *heads, section]
    parts += [*blobs, notes] if notes_last else [notes, *blobs]
    return b"".join(parts)


def createdump(
    tids: Sequence[int] = (100, 101),
    loads: Sequence[Load] = (),
    files: bytes = b"",
    sp: int = 0x7FFF00001800,
    signal: int = 0,
    extra: bytes = b"",
) -> bytes:
    """Notes in createdump's order over the given segments, each thread's stack 64 KiB above the last's."""
    notes = prpsinfo(tids[0] if tids else 1, b"dotnet") + auxv((6, 4096)) + (files or nt_file())
    for index, tid in enumerate(tids):
        notes += (
            prstatus(tid, {"rsp": sp + (index << 16), "rip": 0x401000 + index, "orig_rax": 202}, signal) + fpregset()
        )
    return core(notes + extra, loads, osabi=3)


def stacks(count: int, low: int = 0x7FFF00000000, below: bool = True) -> List[Load]:
    """One stack per thread of `createdump`: from a page below the stack pointer's when `below`, else from its page up."""
    start, size = (low, 0x4000) if below else (low + 0x1000, 0x3000)
    return [Load(start + (index << 16), bytes([index & 0xFF]) * size) for index in range(count)]


def image(build_id: Optional[bytes] = b"\xab" * 20, text: bytes = b"\x90" * 64, note_at: int = 0x200) -> bytes:
    """A shared object of two pages: headers and notes in the first, code in the second."""
    notes = note(b"GNU", 3, build_id) if build_id else note(b"XXX", 1, bytes(4))
    phdrs = (
        pack("<LLQQQQQQ", 1, 4, 0, 0, 0, 0x1000, 0x1000, 0x1000)
        + pack("<LLQQQQQQ", 1, 5, 0x1000, 0x1000, 0, 0x1000, 0x1000, 0x1000)
        + pack("<LLQQQQQQ", 4, 4, note_at, note_at, 0, len(notes), len(notes), 4)
    )
    head = b"\x7fELF\2\1\1" + bytes(9) + pack("<HHLQQQLHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    page = (head + phdrs).ljust(note_at, b"\0") + notes
    return page.ljust(0x1000, b"\x11") + text.ljust(0x1000, b"\xcc")


def write(folder: Path, data: bytes, name: str = "core.1") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def _four(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 4)
