"""Writes small Mach-O cores for tests, each field spelled out, so that any of them can be wrong on purpose.

Shares nothing with the reader; layouts from mach-o/loader.h and dotnet/runtime's createdump (specialthreadinfo.h,
specialdiaginfo.h). True-to-life cores are the business of fixtures/macho.
"""

from __future__ import annotations

from struct import pack
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

X64 = (0x01000007, 3)
ARM64 = (0x0100000C, 0)


class Region(NamedTuple):
    start: int
    data: bytes
    protection: int = 3
    size: Optional[int] = None
    """vmsize when it differs from the bytes."""


def thread_x64(rsp: int, rip: int = 0x1000, **others: int) -> bytes:
    values: Dict[str, int] = {"rsp": rsp, "rip": rip, **others}
    order = ["rax", "rbx", "rcx", "rdx", "rdi", "rsi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)), "rip", "rflags"]
    state = b"".join(pack("<Q", values.get(name, 0)) for name in [*order, "cs", "fs", "gs"])
    return command(4, pack("<LL", 4, 42) + state + pack("<LL", 5, 131) + bytes(131 * 4) + bytes(4))


def thread_arm64(sp: int, pc: int = 0x1000, lr: int = 0) -> bytes:
    state = bytes(8 * 29) + pack("<QQQQLL", 0, lr, sp, pc, 0x60000000, 0)
    return command(4, pack("<LL", 6, 68) + state)


def command(kind: int, body: bytes, size: Optional[int] = None) -> bytes:
    return pack("<LL", kind, len(body) + 8 if size is None else size) + body


def threadinfo(pid: int, rows: Sequence[Tuple[int, int]], count: Optional[int] = None) -> bytes:
    head = b"THREADINFO".ljust(16, b"\0") + pack("<LL", pid, len(rows) if count is None else count)
    return head + b"".join(pack("<LLQ", tid & 0xFFFFFFFF, 0, sp) for tid, sp in rows)


def diaginfo(base: int, record: int = 0, version: int = 2) -> bytes:
    return (b"DIAGINFOHEADER".ljust(16, b"\0") + pack("<lLQQ", version, 0, record, base)).ljust(0x1000, b"\0")


def core(
    threads: Sequence[bytes],
    regions: Sequence[Region] = (),
    machine: Tuple[int, int] = X64,
    notes: Sequence[Tuple[bytes, bytes]] = (),
    extra: Sequence[bytes] = (),
    filetype: int = 4,
    ncmds: Optional[int] = None,
    sizeofcmds: Optional[int] = None,
) -> bytes:
    length = sum(map(len, threads)) + 72 * len(regions) + 40 * len(notes) + sum(map(len, extra))
    offset = (32 + length + 0xFFF) & ~0xFFF
    commands: List[bytes] = list(threads)
    blobs: List[bytes] = []
    for region in regions:
        size = len(region.data) if region.size is None else region.size
        head = bytes(16) + pack("<QQQQllLL", region.start, size, offset, len(region.data), 7, region.protection, 0, 0)
        commands.append(command(0x19, head))
        blobs.append(region.data)
        offset += len(region.data)
    for owner, data in notes:
        commands.append(command(0x31, owner.ljust(16, b"\0") + pack("<QQ", offset, len(data))))
        blobs.append(data)
        offset += len(data)
    commands += extra
    count = len(commands) if ncmds is None else ncmds
    header = pack("<8L", 0xFEEDFACF, *machine, filetype, count, length if sizeofcmds is None else sizeofcmds, 0, 0)
    head = header + b"".join(commands)
    return head.ljust((len(head) + 0xFFF) & ~0xFFF, b"\0") + b"".join(blobs)


def image(
    filetype: int,
    uuid: bytes,
    text: int = 0,
    text_size: int = 0x2000,
    name: bytes = b"",
    info: Optional[int] = None,
    flags: int = 0,
    data: int = 0x100000,
) -> bytes:
    """An image header with __TEXT, __DATA (with __all_image_info at the linked address `info`) and __LINKEDIT."""

    def segment(label: bytes, address: int, size: int, protection: int, sections: bytes = b"") -> bytes:
        numbers = pack("<QQQQllLL", address, size, 0, size, 7, protection, len(sections) // 80, 0)
        return command(0x19, label.ljust(16, b"\0") + numbers + sections)

    section = (
        b"" if info is None else b"__all_image_info" + b"__DATA".ljust(16, b"\0") + pack("<QQ8L", info, 368, *[0] * 8)
    )
    commands = [
        segment(b"__TEXT", text, text_size, 5),
        segment(b"__DATA", data, 0x1000, 3, section),
        segment(b"__LINKEDIT", data + 0x1000, 0x1000, 1),
        command(0x1B, uuid),
    ]
    if name:
        padded = name + bytes(8 - len(name) % 8)
        kind = 0xF if filetype == 7 else 0xD
        fixed = pack("<L", 12) if filetype == 7 else pack("<4L", 24, 0, 0, 0)
        commands.append(command(kind, fixed + padded))
    body = b"".join(commands)
    header = pack("<8L", 0xFEEDFACF, *X64, filetype, len(commands), len(body), flags, 0)
    return (header + body).ljust(text_size, b"\xcc")
