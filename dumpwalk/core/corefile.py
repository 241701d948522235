"""What a core file says about itself, read in Python before any debugger sees it.

Readers: elf_core.py (createdump, kernel, gcore) and macho_core.py (createdump on macOS). Both give a `CoreFile`.
All sizes are bytes, all addresses virtual addresses of the dumped process.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal, Mapping, NamedTuple, Optional, Sequence, Tuple

from dumpwalk.core.vocabulary import ArchName, DumpKind, Format, Os, Producer, TidSource
from dumpwalk.dataclass import dataclass


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
class LiveLook:
    """How a live process was looked at."""

    taken: float
    """Seconds since 1970 when all threads stood."""
    seconds: float
    """For how long they stood then."""
    stops: int
    """How often the process was stopped; the report is of the last time."""
    started: int
    """When the process began, in ticks after the machine's start."""
    switches: Mapping[int, int]
    """By tid: how often the kernel took the processor from it."""
    unstopped: Tuple[int, ...]
    left_out: int
    """Bytes that were wanted and not read while it stood."""
    other_files: bool
    """The process sees other files than dumpwalk does (another mount namespace)."""


TRACES = "traces of .NET"
"""EvidenceOf.searched: for a runtime that no list shows, .NET's or another's."""


@dataclass(frozen=True)
class EvidenceOf:
    """That a core is an evidence core, and what of: written by dumpwalk, it holds what an analysis read, and no more."""

    tool: Optional[str]
    """`dumpwalk 0.1.0`, which wrote the first of them; None where its note cannot be read."""
    source: Literal["core", "process"] = "core"
    """A dump, or a live process."""
    size_bytes: Optional[int] = None
    """Of the dump that it was made of; None for a live process."""
    captured_bytes: Optional[int] = None
    """Memory of the process that was there to be read."""
    kept_bytes: Optional[int] = None
    """How much of that it holds."""
    stack_bytes: int = 0
    """Kept of each stack, from its stack pointer on, whether it was read or not."""
    producer: Producer = "unknown"
    kind: DumpKind = "unknown"
    """Of the dump that it was made of."""
    truncated: bool = False
    threads_cut: bool = False
    damage: Tuple[str, ...] = ()
    """Sentences on that dump's file."""
    taken_us: Optional[int] = None
    """When the process was in this state, in microseconds since 1970: the time of that dump's file."""
    full: bool = False
    """A limit kept from it what was read last."""
    searched: Tuple[str, ...] = ()
    """Searches of that dump's whole memory that are done: what one did not find, an evidence core can hold no trace of."""
    redacted: bool = False
    changed: Optional[bool] = False
    """The file is not as it was written; None where that was not looked at."""
    map: Tuple[Tuple[int, int, int], ...] = ()
    """(start, end, 1 readable | 2 writable | 4 executable) of the process's memory, where the format cannot tell."""


class MappedPart(NamedTuple):
    """A part of a file as the process had it in its memory (Linux: a line of the kernel's list of mapped files)."""

    start: int
    end: int
    offset: int
    """Bytes into the file."""
    path: str


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
    trapped: Optional[Tuple[int, int]] = None
    """(tid, code of its SIGTRAP) of a thread that stood at a debugger's breakpoint, or after a step, when the core was written."""
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
    damage: Tuple[str, ...] = ()
    """Sentences on what is wrong with the file itself; they are among `notes` too."""
    evidence: Optional[EvidenceOf] = None
    """Set where the file is an evidence core."""
    live: Optional[LiveLook] = None
    """Set where this is a live process as it stood for a moment, and not a file of somebody else's."""
    strings_start: Optional[int] = None
    """Linux: where on the main thread's stack a program's arguments and environment begin; up to the end of that mapping."""
    mapped: Tuple[MappedPart, ...] = ()
    """What lay where of the process's files."""
    parts_of: Tuple[Segment, ...] = ()
    """Of an evidence core: the segments of the dump that it was made of, whose parts `segments` are."""

    @property
    def regions(self) -> Tuple[Segment, ...]:
        """The process's memory as the dump's writer saw it, sorted; only where each begins and ends, and its protection, count."""
        return self.parts_of or self.segments


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
