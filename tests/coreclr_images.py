"""Small ELF images with chosen symbols, written from the format documents, for tests that need no real runtime."""

from __future__ import annotations

import struct
from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk.core.arch import arch_for
from dumpwalk.core.corefile import CoreFile, CoreImage
from dumpwalk.core.memory import FileMemory, Memory
from dumpwalk.core.process import Module, NoSymbols, Process, SymbolSource, Thread

BASE = 0x7F1200000000


def gnu_hash(name: bytes) -> int:
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def elf_image(
    symbols: Dict[str, Tuple[int, int]],
    contents: Sequence[Tuple[int, bytes]] = (),
    build_id: bytes = b"\x11" * 20,
    size: int = 0x8000,
    relative: Sequence[Tuple[int, int]] = (),
) -> bytes:
    """A shared object whose file offsets equal its addresses: one writable segment of `size` bytes.

    `symbols` is {name: (address, size)}, `contents` bytes at addresses from 0x2000, `relative` relocations as
    (address, target).
    """
    names, table = b"\0", b"\0" * 24
    ordered = list(symbols)
    for name in ordered:
        address, length = symbols[name]
        table += struct.pack("<IBBHQQ", len(names), 0x11, 0, 5, address, length)
        names += name.encode() + b"\0"
    hashes = [gnu_hash(name.encode()) & ~1 for name in ordered]
    if hashes:
        hashes[-1] |= 1
    section = struct.pack("<IIIIQI", 1, 1, 1, 0, 0xFFFFFFFFFFFFFFFF, 1 if ordered else 0)
    section += b"".join(struct.pack("<I", value) for value in hashes)
    relocations = b"".join(struct.pack("<QQq", at, 8, target) for at, target in relative)
    image = bytearray(size)
    at_symbols, at_names, at_hash, at_relocations, at_dynamic, at_note = 0x400, 0x800, 0xC00, 0x1000, 0x1800, 0x1F00
    dynamic = [(6, at_symbols), (5, at_names), (0x6FFFFEF5, at_hash), (7, at_relocations), (8, len(relocations))]
    dynamic.append((0, 0))
    note = struct.pack("<III", 4, len(build_id), 3) + b"GNU\0" + build_id
    for at, data in (
        (at_symbols, table),
        (at_names, names),
        (at_hash, section),
        (at_relocations, relocations),
        (at_dynamic, b"".join(struct.pack("<QQ", *row) for row in dynamic)),
        (at_note, note),
        *contents,
    ):
        image[at : at + len(data)] = data
    headers = [
        (1, 6, 0, 0, size),
        (2, 6, at_dynamic, at_dynamic, 16 * len(dynamic)),
        (4, 4, at_note, at_note, len(note)),
    ]
    image[:64] = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 0, 0, 64, 56, len(headers), 64, 0, 0
    )
    for index, (kind, flags, offset, address, length) in enumerate(headers):
        row = struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, length, length, 8)
        image[64 + 56 * index : 120 + 56 * index] = row
    return bytes(image)


def process(
    memory: Memory,
    modules: Sequence[Module] = (),
    os: str = "linux",
    arch: str = "x86_64",
    runtime_base: Optional[int] = None,
    images: Sequence[CoreImage] = (),
    tids: Sequence[int] = (),
    symbols: Optional[SymbolSource] = None,
    complete: bool = True,
) -> Process:
    threads: List[Thread] = [Thread(i + 1, tid, "os", {}, None, None) for i, tid in enumerate(tids)]
    core = CoreFile(
        path="core", file="core", size_bytes=0, format="elf", arch=arch, os=os, pid=1, producer="createdump",
        kind="heap", truncated=False, missing_bytes=0, threads=(), segments=(), images=tuple(images),
        runtime_base=runtime_base,
    )  # fmt: skip
    return Process(
        arch=arch_for(os, arch), os=os, pid=1, threads=threads, modules=list(modules), memory=memory, code=memory,
        symbols=symbols or NoSymbols(), corefile=core, threads_complete=complete,
    )  # fmt: skip


def module(
    path: str, base: int = BASE, size: int = 0x8000, file: Optional[str] = None, match: str = "missing"
) -> Module:
    return Module(path=path, base=base, end=base + size, build_id=None, file=file, match=match)


def process_of_core(core: CoreFile, runtime_file: Optional[str] = None) -> Process:
    """A real core without a debugger; `runtime_file` is the matched file of its libcoreclr."""
    rows = [
        Module(i.path, i.base, i.end, i.build_id, file, "matched" if file else "missing")
        for i in core.images
        for file in [runtime_file if i.path.endswith("/libcoreclr.so") else None]
    ]
    memory = FileMemory(core.file, core.segments)
    threads = [Thread(n + 1, t.tid, t.tid_source, t.registers, t.signal, t.name) for n, t in enumerate(core.threads)]
    return Process(
        arch=arch_for(core.os, core.arch), os=core.os, pid=core.pid, threads=threads, modules=rows, memory=memory,
        code=memory, symbols=NoSymbols(), corefile=core,
    )  # fmt: skip
