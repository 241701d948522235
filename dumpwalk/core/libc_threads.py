"""The C library's own record of a process's threads: each one's number as the process itself writes it, and the list of all.

A lock's owner word holds the number that the thread's own pid namespace gave it; the notes of a core hold those of the
namespace of whoever wrote the core. The thread's control block, at its thread pointer, is where both can be compared.

Sources: glibc nptl/descr.h (struct pthread: `list` then `tid`; x64: at +0x2C0 and +0x2D0 behind the padded header, whose first
and third word point at itself; arm64: at +0xC0 and +0xD0, the thread pointer lies behind the struct), nptl/allocatestack.c and
elf/dl-support.c (stack_used, stack_user and stack_cache; neighbours in `_rtld_global` from 2.34). musl src/internal/pthread_impl.h
(self +0, prev and next in a ring of all threads, tid +0x30 on x64 and +0x20 on arm64, where the thread pointer lies behind the
struct). Compared with cores of Debian 12's glibc 2.36 and Alpine's musl 1.2.3.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Set

from dumpwalk import limits
from dumpwalk.core.arch import Arch
from dumpwalk.core.memory import Memory, read_u32, read_u64, read_words
from dumpwalk.dataclass import dataclass

TID_LIMIT = 1 << 22
"""PID_MAX_LIMIT of Linux on 64-bit (include/linux/threads.h): every tid is below."""

_HEADS_APART = (-0x20, -0x10, 0x10, 0x20)
"""stack_used, stack_user and stack_cache are three list heads in a row."""
_STRUCT_SIZES = range(0x600, 0xA00, 0x10)
"""sizeof(struct pthread) of glibc on arm64, by which the thread pointer lies behind it: 0x6F0 to 0x7A0 in 2.17 to 2.40."""
_MUSL_SIZES = range(0x80, 0x180, 8)


@dataclass(frozen=True)
class _Shape:
    """Where things are in one library's control block, from the struct's own address."""

    libc: str
    list_at: int
    """The two link words: next and prev for glibc, prev and next for musl."""
    tid_at: int
    selves: tuple
    """Words that hold the struct's own address."""


_SHAPES: Dict[str, tuple] = {
    "x86_64": (_Shape("glibc", 0x2C0, 0x2D0, (0, 0x10)), _Shape("musl", 0x10, 0x30, (0,))),
    "aarch64": (_Shape("glibc", 0xC0, 0xD0, ()), _Shape("musl", 0x08, 0x20, (0,))),
}


@dataclass(frozen=True)
class ControlBlock:
    """One thread's own record. `tid` is as the process's own pid namespace numbers it."""

    address: int
    tid: int
    tid_address: int
    libc: str


def control_block(memory: Memory, arch: Arch, registers: Mapping[str, int]) -> Optional[ControlBlock]:
    """The control block at a thread's thread pointer; None where there is none that its own links confirm."""
    pointer = registers.get(arch.thread_pointer, 0)
    if not pointer or pointer & 7:
        return None
    for shape in _SHAPES[arch.name]:
        for address in _places(arch, shape, pointer):
            tid = _tid(memory, address, shape)
            if tid is not None and _linked(memory, address + shape.list_at, shape):
                return ControlBlock(address, tid, address + shape.tid_at, shape.libc)
    return None


def _places(arch: Arch, shape: _Shape, pointer: int) -> List[int]:
    if arch.name == "x86_64":
        return [pointer]
    return [pointer - size for size in (_STRUCT_SIZES if shape.libc == "glibc" else _MUSL_SIZES)]


def _tid(memory: Memory, address: int, shape: _Shape) -> Optional[int]:
    """The live number in what may be a control block; None where it is none or the thread has ended (0 or negative)."""
    if any(read_u64(memory, address + at) != address for at in shape.selves):
        return None
    tid = read_u32(memory, address + shape.tid_at)
    return tid if tid is not None and 0 < tid < TID_LIMIT else None


def _linked(memory: Memory, node: int, shape: _Shape) -> bool:
    """Do both neighbours of a list node point back at it? musl links the structs themselves, glibc their link words."""
    here = node if shape.libc == "glibc" else node - shape.list_at
    links = read_words(memory, node, 2)
    if links is None or any(link < 0x1000 or link & 7 for link in links):
        return False
    first, second = (links[0], links[1]) if shape.libc == "glibc" else (links[1], links[0])  # next, prev
    at = 0 if shape.libc == "glibc" else shape.list_at
    if shape.libc == "glibc":
        return read_u64(memory, first + 8) == here and read_u64(memory, second) == here
    return read_u64(memory, first + at) == here and read_u64(memory, second + at + 8) == here


def listed_tids(memory: Memory, arch: Arch, blocks: List[ControlBlock]) -> Optional[Set[int]]:
    """Numbers of all living threads in the library's own list; None where it could not be followed to its end."""
    if not blocks:
        return None
    shape = next(s for s in _SHAPES[arch.name] if s.libc == blocks[0].libc)
    return _ring(memory, shape, blocks) if shape.libc == "musl" else _lists(memory, shape, blocks)


def _ring(memory: Memory, shape: _Shape, blocks: List[ControlBlock]) -> Optional[Set[int]]:
    """musl: all threads in one ring."""
    start = at = blocks[0].address
    found: Set[int] = set()
    for _ in range(2 * limits.THREADS):
        tid = _tid(memory, at, shape)
        if tid is None or not _linked(memory, at + shape.list_at, shape):
            return None
        found.add(tid)
        at = read_u64(memory, at + shape.list_at + 8) or 0
        if at == start:
            return found
    return None


def _lists(memory: Memory, shape: _Shape, blocks: List[ControlBlock]) -> Optional[Set[int]]:
    """glibc: lists through their heads. Both lists in use must be found: main's stack is on one, created ones are on another."""
    known = {block.address + shape.list_at for block in blocks}
    found: Set[int] = set()
    passed: Set[int] = set()
    heads: Set[int] = set()
    work = sorted(known)
    while work:
        start = work.pop()
        if start in passed or start in heads:
            continue
        at = start
        while True:
            if at in passed or len(passed) > 2 * limits.THREADS or not _linked(memory, at, shape):
                return None
            passed.add(at)
            block = at - shape.list_at
            if at in known or _is_block(memory, block, shape):
                tid = _tid(memory, block, shape)
                if tid is not None:
                    found.add(tid)
            elif at not in heads:
                heads.add(at)
                work.extend(
                    at + apart
                    for apart in _HEADS_APART
                    if at + apart not in passed and _linked(memory, at + apart, shape)
                )
            at = read_u64(memory, at) or 0
            if at == start:
                break
    return found if len(heads) > 1 else None


def _is_block(memory: Memory, address: int, shape: _Shape) -> bool:
    """A list node of a thread's struct, alive or ended, rather than a list's head."""
    if shape.selves:
        return all(read_u64(memory, address + at) == address for at in shape.selves)
    tid = read_u32(memory, address + shape.tid_at)
    return tid is not None and (tid < TID_LIMIT or tid >= 1 << 31) and address & 0x3F == 0
