"""What a core file says about itself, read in Python before any debugger sees it.

Readers: elf_core.py (createdump, kernel, gcore) and macho_core.py (createdump on macOS). Both give a `CoreFile`.
All sizes are bytes, all addresses virtual addresses of the dumped process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Sequence, Tuple

from dumpwalk.core.vocabulary import ArchName, DumpKind, Format, Os, Producer, TidSource


@dataclass(frozen=True)
class Segment:
    """A run of the process's memory. Bytes behind `file_size` (or past a truncated file's end) were not captured."""

    start: int
    end: int
    offset: int
    """Where its bytes begin in the file."""
    file_size: int
    """Bytes that are really in the file, already cut at the end of a truncated file."""
    readable: bool = True
    writable: bool = True
    executable: bool = False


@dataclass(frozen=True)
class CoreThread:
    """One thread as the core records it, in the order of the file (lldb's index id is position + 1)."""

    tid: Optional[int]
    tid_source: TidSource
    """os (the kernel's id), createdump (THREADINFO), synthetic (a position: no claim may rest on it)."""
    registers: Mapping[str, int]
    """General registers under lldb's names: rax..r15 rip rsp rbp rflags, or x0..x28 fp lr sp pc; Linux x64 adds orig_rax."""
    signal: Optional[int] = None
    name: Optional[str] = None


@dataclass(frozen=True)
class CoreImage:
    """A file that was mapped in the process (NT_FILE) or an image of dyld's list."""

    path: str
    base: int
    end: Optional[int] = None
    build_id: Optional[str] = None
    """ELF build-id or Mach-O UUID as lower-case hex without dashes, when its header is in the dump."""


@dataclass(frozen=True)
class CoreFile:
    path: str
    """As the user named it."""
    file: str
    """The plain file to read: the same, or the decompressed copy."""
    size_bytes: int
    format: Format
    """elf or mach-o."""
    arch: ArchName
    """x86_64 or aarch64."""
    os: Os
    """linux or macos."""
    pid: Optional[int]
    producer: Producer
    """createdump, kernel, gcore, lldb or unknown."""
    kind: DumpKind
    """full, heap, mini, triage or unknown."""
    truncated: bool
    missing_bytes: int
    threads: Tuple[CoreThread, ...]
    segments: Tuple[Segment, ...]
    """Sorted by start, not overlapping."""
    images: Tuple[CoreImage, ...]
    runtime_base: Optional[int] = None
    """createdump's DIAGINFO version 2: where libcoreclr or the single-file host is loaded."""
    process_name: Optional[str] = None
    crash_thread: Optional[int] = None
    """tid of the thread whose signal made the dump, when the file tells (kernel cores: the first thread)."""
    crash_signal: Optional[int] = None
    notes: Tuple[str, ...] = field(default_factory=tuple)
    """Sentences for the report: what was decompressed, what is odd."""
    limited: Tuple[str, ...] = ()
    """Sentences on bounds of limits.py that kept images from being listed."""
    threads_cut: bool = False
    """Threads are missing: the list itself is cut, or there are more than limits.THREADS."""
    parent_pid: Optional[int] = None
    """pr_ppid of an ELF core, in the numbering of its notes."""
    pac_mask: int = 0
    """Bits that pointer authentication uses in code addresses (NT_ARM_PAC_MASK), 0 where there is none."""
    files_damaged: bool = False
    """The list of mapped files contradicts itself: files may be missing from it, or wrong."""


def held_bytes(segments: Sequence[Segment], ranges: Sequence[Tuple[int, int]]) -> Tuple[int, int]:
    """(bytes of the ranges together, how many of them are captured). Ranges may overlap; `segments` must be laid out."""
    total = held = index = covered = 0
    for start, end in sorted(ranges):
        start = max(start, covered)
        if start >= end:
            continue
        covered = end
        total += end - start
        while index < len(segments) and segments[index].end <= start:
            index += 1
        at = index
        while at < len(segments) and segments[at].start < end:
            segment = segments[at]
            held += max(0, min(segment.start + segment.file_size, end) - max(segment.start, start))
            at += 1
        index = max(index, at - 1)
    return total, held
