"""Who the threads of a macOS core are: createdump's THREADINFO region, and the LC_NOTE `process metadata`.

Sources: dotnet/runtime src/coreclr/debug/createdump/specialthreadinfo.h (THREADINFO: char[16], u32 pid, u32 count,
then for each LC_THREAD u32 tid, 4 bytes padding, u64 sp), PR 131962 (the note, and THREADINFO's second address on
arm64); llvm-project lldb ObjectFileMachO.cpp (the note's JSON: {"threads": [{"thread_id": N}, ...]}).
Both are read from the file: lldb 19 and later cannot read THREADINFO at its first address on arm64.
"""

from __future__ import annotations

import json
import struct
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import CoreThread
from dumpwalk.core.memory import Memory, captured_run

THREADINFO = (0x7FFFFFFF00000000, 0x7FFFFFF00000)
_SIGNATURE = b"THREADINFO\0\0\0\0\0\0"
_ENTRY = struct.Struct("<I4xQ")

Registers = Dict[str, int]


class ThreadInfo(NamedTuple):
    pid: Optional[int]
    entries: List[Tuple[int, int]]
    """(low 32 bits of the tid, stack pointer when the dump was made), in the order of the thread commands."""
    cut: bool


def thread_info(memory: Memory) -> Optional[ThreadInfo]:
    """createdump's list of threads, or None when the core has none."""
    for address in THREADINFO:
        head = memory.read(address, 24)
        if head is None or head[:16] != _SIGNATURE:
            continue
        pid, count = struct.unpack_from("<II", head, 16)
        wanted = min(count, limits.THREADS)
        found = captured_run(memory, address + 24) if wanted else None
        room = (found[1] - address - 24) // _ENTRY.size if found else 0
        data = memory.read(address + 24, _ENTRY.size * min(wanted, room)) if room else b""
        entries = [(tid, sp) for tid, sp in _ENTRY.iter_unpack(data or b"")]
        return ThreadInfo(pid or None, entries, len(entries) < count)
    return None


def metadata_tids(note: bytes) -> List[Optional[int]]:
    """Thread ids of a `process metadata` note, None where an entry has none; empty when it is no such JSON."""
    try:
        told = json.loads(note.rstrip(b"\0").decode("utf-8"))
    except (ValueError, RecursionError):
        return []
    threads = told.get("threads") if isinstance(told, dict) else None
    if not isinstance(threads, list):
        return []
    tids: List[Optional[int]] = []
    for thread in threads[: limits.THREADS]:
        tid = thread.get("thread_id") if isinstance(thread, dict) else None
        tids.append(tid if isinstance(tid, int) and not isinstance(tid, bool) and 0 < tid < 1 << 64 else None)
    return tids


def identify(
    registers: Sequence[Registers], stack_register: str, told: Optional[ThreadInfo], note: List[Optional[int]]
) -> Tuple[List[CoreThread], List[str]]:
    """The threads in the file's order with the best id that is known, and what was odd about the ids.

    THREADINFO's entries are matched by stack pointer first, and by position only for what that leaves over, when both
    lists are of one length. The note has no stack pointers: its position counts, unless THREADINFO contradicts it.
    """
    matched = _by_stack_pointer(registers, stack_register, told)
    odd: List[str] = []
    use_note = len(note) == len(registers) and all(tid is not None for tid in note)
    if note and not use_note:
        odd.append("the thread ids of the process metadata do not fit the number of threads and were not used")
    if use_note:
        wrong = [i for i, tid in matched.items() if tid != (note[i] or 0) & 0xFFFFFFFF]
        if wrong:
            odd.append(f"THREADINFO contradicts the process metadata for {len(wrong)} threads; THREADINFO was believed")
            use_note = False
    threads = []
    for index, values in enumerate(registers):
        if use_note:
            threads.append(CoreThread(note[index], "os", values))
        elif index in matched:
            threads.append(CoreThread(matched[index], "createdump", values))
        else:
            threads.append(CoreThread(index, "synthetic", values))
    synthetic = sum(t.tid_source == "synthetic" for t in threads)
    if synthetic:
        odd.append(f"the core does not tell the thread ids of {synthetic} of {len(threads)} threads")
    return threads, odd


def _by_stack_pointer(
    registers: Sequence[Registers], stack_register: str, told: Optional[ThreadInfo]
) -> Dict[int, int]:
    """Thread position → tid."""
    if told is None:
        return {}
    matched: Dict[int, int] = {}
    places: Dict[int, List[int]] = {}
    for place, (_, sp) in enumerate(told.entries):
        places.setdefault(sp, []).append(place)
    used = set()
    for index, values in enumerate(registers):
        candidates = places.get(values.get(stack_register, -1), [])
        if len(candidates) > 1:  # several threads with one stack pointer: damage, or ids at positions
            candidates = [c for c in candidates if c == index]
        if len(candidates) == 1 and told.entries[candidates[0]][0]:
            matched[index] = told.entries[candidates[0]][0]
            used.add(candidates[0])
    if len(told.entries) == len(registers):
        for index, (tid, _) in enumerate(told.entries):
            if index not in matched and index not in used and tid:
                matched[index] = tid
    return matched
