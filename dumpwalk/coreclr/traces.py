"""What shows a .NET runtime in a process without any file's name: so that "no .NET runtime" is said only after a search.

The build puts `@(#)Version 4.700.22.11601 @Commit: ...` into the data of every native part of .NET (eng/native/version),
and only there; the two descriptors begin with words of their own (runtime.py). A core's list of mapped files may be lost, cut,
or damaged in one letter: then the memory itself is searched, and the image around a version string is the runtime's where it is
the largest of those with one.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import TRACES
from dumpwalk.core.memory import filled_runs, for_search
from dumpwalk.core.process import Process
from dumpwalk.dataclass import dataclass

_MARK = b"@(#)Version "
_WHOLE = re.compile(rb"@\(#\)Version (\d{1,5})\.(\d{1,5})\.\d{1,7}\.\d{1,7} @Commit: [0-9a-f]{6}")
_DESCRIPTORS = (b"DotNetRuntimeInfo\0", b"DNCCDAC\0")
_PART_NAMES = re.compile(
    r"lib(clrjit|hostfxr|hostpolicy|mscordaccore|mscordbi|System\.Native)\.(so|dylib)|System\.Private\.CoreLib\.dll"
)
_HOST = (3, 100)
"""The host (dotnet, libhostfxr, libhostpolicy) of 3.1 has a version of its own, 3.100; from 5 on all parts have one."""
_IMAGE_BYTES = 64 << 20
_STEP = 0x1000
_CHUNK = 16 << 20


@dataclass
class Traces:
    """`complete` tells that everything was searched that could hold a trace; only then may an empty result mean none."""

    marks: List[int] = field(default_factory=list)
    """Addresses of version strings of the runtime's own parts (not the host's)."""
    sentences: List[str] = field(default_factory=list)
    complete: bool = True
    why_not: str = ""


def search(process: Process) -> Traces:
    """Look for traces in the data of the listed images; in all captured memory where that list cannot be believed."""
    found = Traces()
    names = sorted({m.name for m in process.modules if _PART_NAMES.fullmatch(m.name)})
    if names:
        found.sentences.append(f"files of .NET are mapped: {', '.join(names[:4])}")
    whole = not _list_believable(process)
    searched = 0
    for start, data in _searched(process, whole):
        searched += len(data)
        _marks_in(process, start, data, found)
        if searched > limits.RUNTIME_SEARCH_BYTES:
            found.complete = False
            found.why_not = f"only the first {limits.RUNTIME_SEARCH_BYTES >> 20} MiB of memory were searched for it"
            break
    if whole and not searched:
        found.complete, found.why_not = (
            False,
            "the list of mapped files and the memory that would show it are not in the dump",
        )
    evidence = process.corefile.evidence if process.corefile is not None else None
    if evidence is not None and TRACES not in evidence.searched:
        found.complete = False
        found.why_not = "an evidence core holds only what its analysis read, and that did not search for it"
    if found.marks:
        found.sentences.append(f"a version string of .NET's native parts stands at 0x{found.marks[0]:x}")
    return found


def image_base(process: Process, mark: int) -> Optional[Tuple[str, int, int]]:
    """(path, base, end) of the image that holds a mark: of the list, or of the nearest header below it in memory."""
    module = process.module_at(mark)
    if module is not None and module.base is not None and module.end is not None:
        return module.path, module.base, module.end
    at = mark & ~(_STEP - 1)
    lowest = max(at - _IMAGE_BYTES, 0)
    starts = sorted((s.start for s in process.memory.segments() if lowest <= s.start <= mark), reverse=True)
    for start in starts:
        if for_search(process.memory).read(start, 4) in (b"\x7fELF", b"\xcf\xfa\xed\xfe"):
            return "", start, mark + len(_MARK)
    return None


def _list_believable(process: Process) -> bool:
    """Images are listed, and each thread stands in one of them or in memory that belongs to none as JIT code does."""
    listed = [m for m in process.modules if m.base is not None and not m.name.startswith("[")]
    if len(listed) < 2:
        return False
    pcs = [t.registers.get(process.arch.pc, 0) for t in process.threads[:64]]
    return sum(process.module_at(pc) is not None for pc in pcs) * 2 > len(pcs)


def _searched(process: Process, whole: bool) -> Iterator[Tuple[int, bytes]]:
    ranges = [(m.base, m.end) for m in process.modules if m.base is not None and m.end is not None]
    swept = for_search(process.memory)
    for segment in process.memory.segments():
        if not segment.writable:
            continue
        low, high = segment.start, segment.start + segment.file_size
        if not whole and not any(base < high and low < end + _STEP for base, end in ranges):
            continue
        for start, end in filled_runs(process.memory, low, high):
            at = start
            while at < end:
                size = min(_CHUNK, end - at)
                data = swept.read(at, size)
                if data is not None:
                    yield at, data
                at += size


def _marks_in(process: Process, start: int, data: bytes, found: Traces) -> None:
    at = data.find(_MARK)
    while at >= 0 and len(found.marks) < 64:
        match = _WHOLE.match(data, at)
        if match is not None and (int(match[1]), int(match[2])) != _HOST:
            found.marks.append(start + at)
            process.memory.read(start + at, len(match[0]))
        at = data.find(_MARK, at + 1)
    for mark in _DESCRIPTORS:
        at = data.find(mark)
        if at >= 0 and (start + at) % 8 == 0:
            found.sentences.append(f"a runtime's descriptor stands at 0x{start + at:x}")
            process.memory.read(start + at, len(mark))
