"""Offsets inside Thread and ThreadStore, by version, for runtimes whose data contract is missing or not at hand.

A row is a hypothesis: `managed_threads` believes it only when every OS id of the list is a thread of the dump.
Sources: src/coreclr/vm/threads.h (3.1: dotnet/coreclr src/vm/threads.h); offsets read in the images and cores named in
`seen_on`. ThreadStore is CLREvent (0x10), Crst, list head, counts: the head is at 0x10 + sizeof(Crst), m_ThreadCount
0x18 behind it, m_HoldingThread 0x20 behind the count since 5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, Optional, Tuple

from dumpwalk.coreclr.contract import Contract
from dumpwalk.dataclass import dataclass

_HEAD_TO_COUNT, _COUNT_TO_HOLDER = 0x18, 0x20


@dataclass(frozen=True)
class ThreadLayout:
    """Offsets in bytes."""

    name: str
    majors: Tuple[int, int]
    """First and last major version."""
    state: int
    mode: int
    """m_fPreemptiveGCDisabled, 32 bits: 1 in cooperative mode."""
    managed_id: int
    link: int
    os_id: int
    first_link: int
    """ThreadStore to the list's head."""
    thread_count: int
    holder: Optional[int]
    seen_on: str
    last_thrown: Optional[int] = None
    """m_LastThrownObject, a handle."""


_OS_ID_TO_THROWN = {3: 0x30}
_OS_ID_TO_THROWN_SINCE_5 = 0x28
"""Read in cores of 3.1.23 and 8.0.4 whose threads had thrown; since 9 the data contract says the same."""


def _row(
    name: str, majors: Tuple[int, int], thread: Tuple[int, int, int, int, int], crst: int, seen_on: str,
    holder: Optional[int] = None,
) -> ThreadLayout:  # fmt: skip
    first = 0x10 + crst
    count = first + _HEAD_TO_COUNT
    holder = count + _COUNT_TO_HOLDER if holder is None else holder
    thrown = thread[4] + _OS_ID_TO_THROWN.get(majors[0], _OS_ID_TO_THROWN_SINCE_5)
    return ThreadLayout(name, majors, *thread, first, count, holder, seen_on, thrown)


# (state, mode, managed id, link, OS id) of the x64 builds; arm64 has 40 bytes more before the link since 10.
_T10 = (0x0, 0x4, 0x10, 0x70, 0x128)
_T8 = (0x8, 0xC, 0x20, 0xE8, 0x1A8)
_T6 = (0x8, 0xC, 0x20, 0xF0, 0x1B0)
_T31 = (0x8, 0xC, 0x24, 0x100, 0x1C8)
_ARM64_SHIFT = 40

_X64_ROWS = {
    "linux": (
        _row("offsets of 10.0", (10, 11), _T10, 0x48, "10.0.9, 10.0.12, 10.0.14 linux-x64, musl-x64"),
        _row("offsets of 9.0", (9, 9), _T10, 0x90, "9.0.20 linux-x64"),
        _row("offsets of 8.0", (7, 8), _T8, 0x90, "8.0.30, 8.0.31 linux-x64"),
        _row("offsets of 6.0", (5, 6), _T6, 0x90, "6.0.36 linux-x64"),
        _row("offsets of 3.1", (3, 3), _T31, 0x98, "3.1.23 linux-x64", holder=0xF8),
    ),
    "macos": (
        _row("offsets of 10.0", (10, 11), _T10, 0x68, "10.0.9, 10.0.12 osx-x64"),
        _row("offsets of 9.0", (9, 9), _T10, 0xA8, "none: inferred from linux-x64"),
        _row("offsets of 8.0", (7, 8), _T8, 0xA8, "8.0.30 osx-x64"),
        _row("offsets of 6.0", (5, 6), _T6, 0xA8, "none: inferred from linux-x64"),
        _row("offsets of 3.1", (3, 3), _T31, 0xB0, "none: inferred from linux-x64", holder=0x110),
    ),
}


def rows_for(os: str, arch: str, major: Optional[int]) -> Iterator[ThreadLayout]:
    """Layouts that may fit, those of the version first; of other versions too, since each must prove itself."""
    own = [row for row in _X64_ROWS.get(os, ()) if major is not None and row.majors[0] <= major <= row.majors[1]]
    rows = own + [row for row in _X64_ROWS.get(os, ()) if row not in own]
    for row in rows:
        if arch == "x86_64":
            yield row
            continue
        thrown = (row.last_thrown or 0) + _ARM64_SHIFT
        moved = replace(row, link=row.link + _ARM64_SHIFT, os_id=row.os_id + _ARM64_SHIFT, last_thrown=thrown)
        crst = row.first_link - 0x10
        if os == "linux" and crst in (0x90, 0x98):  # pthread_mutex_t is 48 bytes there (inc/crosscomp.h)
            more = 8 if crst == 0x90 else 0x18
            holder = None if row.holder is None else row.holder + more
            moved = replace(
                moved, first_link=row.first_link + more, thread_count=row.thread_count + more, holder=holder
            )
        yield replace(moved, name=row.name + ", arm64")
        yield replace(moved, name=row.name + ", arm64", link=row.link, os_id=row.os_id, last_thrown=row.last_thrown)


def from_contract(contract: Contract, os: str) -> Optional[ThreadLayout]:
    """The layout that the runtime itself describes; None when a field lacks. The holder is not part of any contract."""
    fields = [
        contract.offset("Thread", "State"),
        contract.offset("Thread", "PreemptiveGCDisabled"),
        contract.offset("Thread", "Id"),
        contract.offset("Thread", "LinkNext"),
        contract.offset("Thread", "OSId"),
        contract.offset("ThreadStore", "FirstThreadLink"),
        contract.offset("ThreadStore", "ThreadCount"),
    ]
    known = [value for value in fields if value is not None]
    if len(known) != len(fields):
        return None
    state, mode, managed_id, link, os_id, first_link, count = known
    name = f"data contract, from the {contract.source}"
    holder = count + _COUNT_TO_HOLDER
    thrown = contract.offset("Thread", "LastThrownObject")
    return ThreadLayout(name, (9, 99), state, mode, managed_id, link, os_id, first_link, count, holder, os, thrown)


_STATES = (
    (0x8, "debug-suspend-pending"),
    (0x200, "background"),
    (0x400, "unstarted"),
    (0x800, "dead"),
    (0x01000000, "thread-pool-worker"),
    (0x02000000, "interruptible-wait"),
    (0x80000000, "detached"),
)


def decode_state(state: Optional[int]) -> Tuple[str, ...]:
    """Names of the bits of Thread::m_State that mean the same from 3.1 to 10 (threads.h, enum ThreadState)."""
    return tuple(name for bit, name in _STATES if state is not None and state & bit)
