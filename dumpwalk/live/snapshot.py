"""One moment of a live process: registers of all threads and chosen memory, read while all of it is stopped."""

from __future__ import annotations

import time
from bisect import bisect_right
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.dataclass import dataclass
from dumpwalk.live import ptrace
from dumpwalk.live.maps import Mapping, maps_of
from dumpwalk.live.memory import ProcessMemory
from dumpwalk.live.target import CannotTrace, LiveTarget, NoSuchProcess, forbidden, start_ticks

Range = Tuple[int, int]
_PAGE = 4096
_RED_ZONE = 128  # System V AMD64 ABI 3.2.2; arm64 has none
_SP = {"x86_64": 19, "aarch64": 31}
"""The stack pointer's place among the words of the general register set (user_regs_struct, user_pt_regs)."""


@dataclass(frozen=True)
class Snapshot:
    target: LiveTarget
    threads: Tuple[ptrace.StoppedThread, ...]
    switches: Dict[int, int]
    """By tid: how often the kernel took the processor from it (the sum of both counts of /proc/PID/task/TID/status)."""
    unstopped: Tuple[int, ...]
    """Threads that did not stop in time, and are not in it."""
    maps: Tuple[Mapping, ...]
    auxv: bytes
    pieces: Tuple[Tuple[int, bytes], ...]
    """Memory by address, sorted, not overlapping."""
    seconds: float
    """For which the process stood."""
    taken: float
    """Seconds since 1970 when it stopped."""
    left_out: int
    """Bytes that were wanted and not read, since limits.SNAPSHOT_BYTES was reached."""


def take(target: LiveTarget, memory: ProcessMemory, wanted: Iterable[Range]) -> Snapshot:
    """Stop the process, read registers, stacks, what every analysis begins with, and `wanted`; let it go.

    Raises CannotTrace, NoSuchProcess.
    """
    begun, taken = time.monotonic(), time.time()
    try:
        with ptrace.stopped(target.pid) as stop:
            if start_ticks(target.pid) != target.started:
                raise NoSuchProcess(f"Process {target.pid} has ended, and its number was given to another one.")
            maps = tuple(maps_of(target.pid))
            auxv = _auxv(target.pid)
            stacks = _stacks(stop.threads, target.arch, maps)
            switches = {t.tid: count for t in stop.threads if (count := _switches(target.pid, t.tid)) is not None}
            pieces, left_out = _read(memory, [*stacks, *wanted, *_always(maps)], maps)
            threads, unstopped = tuple(stop.threads), tuple(stop.unstopped)
        seconds = time.monotonic() - begun
    except ptrace.NotAllowed:
        raise forbidden(target) from None
    except ProcessLookupError:
        raise NoSuchProcess(f"Process {target.pid} ended before it could be stopped.") from None
    except OSError as error:
        raise CannotTrace(f"Process {target.pid} could not be stopped ({error.strerror or error}).") from error
    return Snapshot(target, threads, switches, unstopped, maps, auxv, pieces, seconds, taken, left_out)


def _auxv(pid: int) -> bytes:
    with open(f"/proc/{pid}/auxv", "rb") as stream:
        return stream.read()


def _switches(pid: int, tid: int) -> Optional[int]:
    try:
        with open(f"/proc/{pid}/task/{tid}/status", "rb") as stream:
            lines = [line.split() for line in stream if b"ctxt_switches" in line]
        return sum(int(line[1]) for line in lines)
    except (OSError, ValueError, IndexError):
        return None


def _stacks(threads: Sequence[ptrace.StoppedThread], arch: str, maps: Sequence[Mapping]) -> List[Range]:
    """From below each stack pointer up to limits.STACK_BYTES, within its mapping."""
    starts = [m.start for m in maps]
    found = []
    for thread in threads:
        at = 8 * _SP[arch]
        pointer = int.from_bytes(thread.registers[ptrace.PRSTATUS][at : at + 8], "little")
        index = bisect_right(starts, pointer) - 1
        if index >= 0 and pointer < maps[index].end:
            mapping = maps[index]
            begin = max(mapping.start, pointer - _RED_ZONE)
            found.append((begin, min(mapping.end, begin + limits.SNAPSHOT_STACK_BYTES)))
    return found


def _always(maps: Sequence[Mapping]) -> List[Range]:
    """The first page of every file (its headers), the variables of modules with the memory behind them that the loader clears
    (.bss), and the kernel's own code page: a debugger and dumpwalk begin with these."""
    found: List[Range] = []
    end = -1
    for mapping in maps:
        if not mapping.readable:
            continue
        if mapping.file and mapping.offset == 0:
            found.append((mapping.start, mapping.start + _PAGE))
        of_module = mapping.file or (mapping.start == end and not mapping.name)
        if (of_module and mapping.writable and mapping.end - mapping.start <= limits.SNAPSHOT_DATA_BYTES) or (
            mapping.name == "[vdso]"
        ):
            found.append((mapping.start, mapping.end))
        end = mapping.end if mapping.file and mapping.writable else -1
    return found


def _read(
    memory: ProcessMemory, ranges: Iterable[Range], maps: Sequence[Mapping]
) -> Tuple[Tuple[Tuple[int, bytes], ...], int]:
    """Whole pages of the ranges, in the order given until the bound; (pieces by address, bytes left out)."""
    pages: Dict[int, bytes] = {}
    left_out = 0
    for start, end in ranges:
        start, end = start & -_PAGE, (end + _PAGE - 1) & -_PAGE
        missing = [page for page in range(start, end, _PAGE) if page not in pages]
        for first, last in _runs(missing):
            if len(pages) * _PAGE + last - first > limits.SNAPSHOT_BYTES:
                left_out += last - first
                continue
            data = memory.read(first, last - first)
            if data is not None:
                pages.update((first + at, data[at : at + _PAGE]) for at in range(0, len(data), _PAGE))
                continue
            for page in range(first, last, _PAGE):  # a page of it cannot be read
                data = memory.read(page, _PAGE)
                if data is not None:
                    pages[page] = data
    limits_of = [m.start for m in maps]
    return tuple(_joined(pages, limits_of)), left_out


def _runs(pages: Sequence[int]) -> List[Range]:
    found: List[Range] = []
    for page in pages:
        if found and found[-1][1] == page:
            found[-1] = (found[-1][0], page + _PAGE)
        else:
            found.append((page, page + _PAGE))
    return found


def _joined(pages: Dict[int, bytes], borders: Sequence[int]) -> List[Tuple[int, bytes]]:
    """Neighbouring pages as one piece; none goes over the border of a mapping."""
    edges = set(borders)
    pieces: List[Tuple[int, List[bytes]]] = []
    end = -1
    for page in sorted(pages):
        if page != end or page in edges:
            pieces.append((page, []))
        pieces[-1][1].append(pages[page])
        end = page + _PAGE
    return [(start, b"".join(parts)) for start, parts in pieces]
