"""The runtime's own list of its threads: managed and OS ids, cooperative or preemptive mode, state, who suspends whom.

By the data contract (9 and later); without one by offsets of the version, believed only when every OS id in the list is
a thread of the dump. Sources: src/coreclr/vm/threads.h (class Thread, class ThreadStore, enum ThreadState) and
vm/threads.cpp; the list is linked through Thread::m_LinkStore and ends at NULL.
"""

from __future__ import annotations

import struct
from dataclasses import field
from typing import Dict, List, Optional, Sequence, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.grade import Extent
from dumpwalk.core.memory import read_u32, read_u64
from dumpwalk.core.process import Process
from dumpwalk.coreclr.contract import Contract, ContractResult, described_globals, read_contract
from dumpwalk.coreclr.dac_table import FINALIZER_THREAD, SUSPENSION_THREAD, THREAD_STORE, read_dac_table
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.coreclr.thread_layouts import ThreadLayout, decode_state, from_contract, rows_for
from dumpwalk.dataclass import dataclass

_STORE_SYMBOLS = (
    "_ZN11ThreadStore14s_pThreadStoreE",
    "__ZN11ThreadStore14s_pThreadStoreE",
    "ThreadStore::s_pThreadStore",
)
_FINALIZER_SYMBOLS = ("g_pFinalizerThread", "_g_pFinalizerThread")
_SUSPENSION_SYMBOLS = ("g_pSuspensionThread", "_g_pSuspensionThread")
_UNSTARTED, _DEAD = 0x400, 0x800
_STORE_LOCK_FLAGS = (0x80000018, 0xC0000018)
"""CRST_UNSAFE_ANYMODE | CRST_DEBUGGER_THREAD, initialized; with CRST_OS_CRIT_SEC up to 9 (threads.cpp, vm/crst.h)."""
_GLOBALS_BYTES = 64 << 20
_STORES = 64
_NO_OS_ID = (0, 0xBAADF00D)
"""m_OSThreadId of a thread that has none (SWITCHED_OUT_FIBER_OSID)."""


@dataclass(frozen=True)
class ManagedThread:
    address: int
    """The runtime's Thread object."""
    managed_id: Optional[int]
    os_tid: Optional[int]
    """None for a thread that is not started or already gone."""
    cooperative: Optional[bool]
    """m_fPreemptiveGCDisabled: a garbage collection must wait for it."""
    state: Optional[int]
    flags: Tuple[str, ...]
    """Names of the state bits that say the same in all versions."""
    is_finalizer: bool = False
    mode_address: int = 0
    """Where m_fPreemptiveGCDisabled is."""
    thrown_address: int = 0
    """Where m_LastThrownObject is; 0 where the layout does not tell."""


@dataclass
class ManagedThreads:
    threads: List[ManagedThread] = field(default_factory=list)
    store: Optional[int] = None
    """Address of the ThreadStore object; its lock (a Crst) is at +0x10."""
    count: Optional[int] = None
    """ThreadStore::m_ThreadCount."""
    finalizer: Optional[int] = None
    """Thread object of the finalizer thread."""
    suspending: Optional[int] = None
    """Thread object that suspends the runtime (g_pSuspensionThread), None when nobody does or it is not known."""
    suspending_known: bool = False
    """Whether `suspending` was read: None then means nobody."""
    holder: Optional[int] = None
    """Thread object in ThreadStore::m_HoldingThread."""
    how: Optional[str] = None
    """Which layout was used and where it comes from; None when there is no list."""
    status: Extent = "none"
    """complete, partial or none."""
    coverage: str = ""
    """A sentence for the report."""
    notes: List[str] = field(default_factory=list)

    def by_tid(self) -> Dict[int, ManagedThread]:
        """Threads by the low 32 bits of their OS id."""
        return {t.os_tid & 0xFFFFFFFF: t for t in self.threads if t.os_tid is not None}

    def by_address(self, address: Optional[int]) -> Optional[ManagedThread]:
        return next((t for t in self.threads if t.address == address), None)


@dataclass(frozen=True)
class _Globals:
    """Load addresses of the global variables."""

    store: Optional[int]
    finalizer: Optional[int]
    suspension: Optional[int]


def read_threads(process: Process, runtime: RuntimeInfo, contract: Optional[ContractResult] = None) -> ManagedThreads:
    """The managed threads. Never raises on damaged memory and never loops; what is missing is told in `coverage`.

    `contract` is the data contract where it was read already.
    """
    contract = contract or read_contract(process, runtime)
    tried: List[str] = []
    if contract.contract is not None:
        layout = from_contract(contract.contract, process.os)
        if layout is not None:
            found = _read(process, _contract_globals(contract.contract), layout)
            if found.threads:
                found.notes.extend(contract.contract.notes)
                _compare_with_dump(process, found)
                return found
            tried.append(found.coverage)
        else:
            tried.append("the data contract does not describe Thread and ThreadStore")
    else:
        tried.append(contract.why)
    located = _table_globals(process, runtime)
    layouts = list(rows_for(process.os, process.arch.name, runtime.major))
    guesses: List[Tuple[_Globals, str]] = [(located, "")]
    if located.store is None:
        guesses = _unnamed_globals(runtime)
        by_lock = _stores_by_structure(process, runtime, layouts)
        guesses += [(_Globals(store, None, None), "the ThreadStore was found by its lock's flags") for store in by_lock]
    if not guesses:
        return _nothing(tried, "neither a symbol nor g_dacTable nor the globals' own words lead to the ThreadStore")
    for layout in layouts:
        for guess, note in guesses:
            found = _read(process, guess, layout)
            if found.threads and _confirmed(process, found):
                found.notes.extend([note] if note else [])
                return found
    return _nothing(tried, "no known layout gives a list whose OS thread ids are threads of the dump")


def _nothing(tried: Sequence[str], last: str) -> ManagedThreads:
    reasons = [reason for reason in (*tried, last) if reason]
    return ManagedThreads(coverage="the managed thread list was not read: " + "; ".join(reasons))


def _unnamed_globals(runtime: RuntimeInfo) -> List[Tuple[_Globals, str]]:
    """Each global of the contract as the ThreadStore's; in 9 and 10 the finalizer and the suspending thread follow."""
    pointers = [*described_globals(runtime), 0, 0]
    note = "the ThreadStore was found among the contract's unnamed globals"
    return [(_Globals(*pointers[at : at + 3]), note) for at in range(1, len(pointers) - 2) if pointers[at]]


def _stores_by_structure(process: Process, runtime: RuntimeInfo, layouts: Sequence[ThreadLayout]) -> List[int]:
    """Global variables of the image that point at an object with the flags word of ThreadStore's lock in its place."""
    offsets = sorted({layout.first_link - 8 for layout in layouts})
    low, high = runtime.image.span()
    found: List[int] = []
    for segment in runtime.image.segments:
        if not segment.writable or segment.end - segment.start > _GLOBALS_BYTES:
            continue
        for page in range(segment.start & ~0xFFF, segment.end, 0x1000):
            data = process.memory.read(page, 0x1000)
            if data is None:
                continue
            for index, (value,) in enumerate(struct.iter_unpack("<Q", data)):
                if not 0x10000 <= value < 1 << 48 or value & 7 or low <= value < high:
                    continue
                if any(read_u32(process.memory, value + at) in _STORE_LOCK_FLAGS for at in offsets):
                    found.append(page + 8 * index)
                    if len(found) >= _STORES:
                        return found
    return found


def _contract_globals(contract: Contract) -> _Globals:
    found = contract.addresses
    return _Globals(found.get("ThreadStore"), found.get("FinalizerThread"), found.get("GCThread"))


def _table_globals(process: Process, runtime: RuntimeInfo) -> _Globals:
    table = read_dac_table(process, runtime)
    named = table.globals if table is not None else {}

    def find(slot: str, symbols: Sequence[str]) -> Optional[int]:
        if slot in named:
            return named[slot]
        for name in symbols[:1]:
            symbol = runtime.image.symbol(name)
            if symbol is not None:
                return symbol.address
        return process.symbols.address_of(symbols, runtime.image)

    return _Globals(
        find(THREAD_STORE, _STORE_SYMBOLS),
        find(FINALIZER_THREAD, _FINALIZER_SYMBOLS),
        find(SUSPENSION_THREAD, _SUSPENSION_SYMBOLS),
    )


def _read(process: Process, located: _Globals, layout: ThreadLayout) -> ManagedThreads:
    memory = process.memory
    result = ManagedThreads(how=layout.name)
    result.store = read_u64(memory, located.store) if located.store else None
    if not result.store:
        captured = result.store is not None
        result.coverage = "ThreadStore is not created yet" if captured else "ThreadStore is not in the dump"
        return result
    result.count = read_u32(memory, result.store + layout.thread_count)
    if located.finalizer:
        result.finalizer = read_u64(memory, located.finalizer) or None
    if located.suspension:
        value = read_u64(memory, located.suspension)
        result.suspending, result.suspending_known = value or None, value is not None
    ended = _walk(process, result, layout)
    if result.threads and result.suspending is not None and result.by_address(result.suspending) is None:
        result.notes.append("the suspending thread is no thread of the list")
    _holder(process, result, layout)
    listed = len(result.threads)
    if not listed:
        result.coverage = f"the list of ThreadStore 0x{result.store:x} could not be read ({ended})"
    elif ended == "end" and result.count in (None, listed):
        result.status, result.coverage = "complete", f"{listed} managed threads ({layout.name})"
    else:
        result.status = "partial"
        told = "" if result.count is None else f" of {result.count}"
        why = "the list is shorter or longer than its count" if ended == "end" else ended
        result.coverage = f"{listed}{told} managed threads ({layout.name}): {why}"
    return result


def _walk(process: Process, result: ManagedThreads, layout: ThreadLayout) -> str:
    """Append the list's threads; why it ended: `end`, or a few words."""
    memory = process.memory
    link = read_u64(memory, (result.store or 0) + layout.first_link)
    if link is None:
        return "its head is not in the dump"
    bound = limits.MANAGED_THREADS
    if result.count is not None and result.count < bound:
        bound = 2 * result.count + 16  # a damaged count must not hide threads, a damaged list must end
    seen: Set[int] = set()
    while link:
        if link in seen:
            return "the list runs in a circle"
        if len(seen) >= bound:
            return f"cut after {bound} entries"
        if link % 8 or link < layout.link:
            return f"the list leads to 0x{link:x}, which is no thread"
        seen.add(link)
        following = read_u64(memory, link)
        if following is None:
            return f"0x{link:x} is not in the dump"
        result.threads.append(_thread(process, result, link - layout.link, layout))
        link = following
    return "end"


def _thread(process: Process, result: ManagedThreads, address: int, layout: ThreadLayout) -> ManagedThread:
    memory = process.memory
    state = read_u32(memory, address + layout.state)
    mode = read_u32(memory, address + layout.mode)
    os_id = read_u64(memory, address + layout.os_id)
    gone = state is not None and bool(state & (_UNSTARTED | _DEAD))
    if os_id is not None and (os_id in _NO_OS_ID or (gone and process.thread_by_tid(os_id) is None)):
        os_id = None
    return ManagedThread(
        address=address,
        managed_id=read_u32(memory, address + layout.managed_id),
        os_tid=os_id,
        cooperative=None if mode is None or mode > 1 else mode == 1,
        state=state,
        flags=decode_state(state),
        is_finalizer=address == result.finalizer,
        mode_address=address + layout.mode,
        thrown_address=address + layout.last_thrown if layout.last_thrown is not None else 0,
    )


def _holder(process: Process, result: ManagedThreads, layout: ThreadLayout) -> None:
    """m_HoldingThread, kept only where it is a thread of the list."""
    if layout.holder is None or result.store is None:
        return
    holder = read_u64(process.memory, result.store + layout.holder)
    if not holder:
        return
    if result.by_address(holder) is None:
        result.notes.append("ThreadStore's holder word is no thread of the list and is not used")
        return
    result.holder = holder


def _compare_with_dump(process: Process, found: ManagedThreads) -> None:
    """Lower the status when the list names OS ids that no thread of the dump has."""
    if all(thread.tid is None or thread.tid_source == "synthetic" for thread in process.threads):
        found.notes.append("the dump's own thread ids are not known, so the list could not be compared with them")
        return
    strange = [t.os_tid for t in found.threads if t.os_tid is not None and process.thread_by_tid(t.os_tid) is None]
    if strange:
        found.status = "partial"
        found.coverage += f"; {len(strange)} of them have an OS thread id that no thread of the dump has"


def _confirmed(process: Process, found: ManagedThreads) -> bool:
    """Whether a list read with a version's offsets is one: known OS ids, sane managed ids, its own finalizer thread."""
    tids = [t.os_tid for t in found.threads if t.os_tid is not None]
    if not tids or len(set(tids)) != len(tids):
        return False
    if any(process.thread_by_tid(tid) is None for tid in tids):
        return False
    without = [t for t in found.threads if t.os_tid is None]
    if any(t.state is None or not t.state & (_UNSTARTED | _DEAD) for t in without):
        return False
    ids = [t.managed_id for t in found.threads if t.os_tid is not None]
    if any(i is None or not 0 < i < 1 << 26 for i in ids) or len(set(ids)) != len(ids):
        return False
    if any(t.cooperative is None for t in found.threads):
        return False
    return found.finalizer is None or any(t.is_finalizer for t in found.threads)
