"""Names for locks: by the symbol that covers them, as a member of a known object, or by the function above Enter; those of
static Crsts in known builds without symbols are in static_crsts.py.

A Crst does not record its type in release builds (src/coreclr/vm/crst.h), so a heap-allocated one is named by who enters
it: the holder object is inlined there, and the frame above `CrstBase::Enter` is the method itself. Sources: crsttypes.h and
the callers in src/coreclr/vm (virtualcallstub.cpp, threads.cpp, threadsuspend.cpp, methodtable.cpp, prestub.cpp, clsload.cpp,
codeman.cpp, syncblk.cpp).
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from dumpwalk.core.names import plain
from dumpwalk.core.process import Frame, Process
from dumpwalk.locks import glibc
from dumpwalk.locks.lock_frames import first_own_frame

WRITE_LOCK = "DispatchCache::m_writeLock"
THREAD_STORE_LOCK = "ThreadStore::m_Crst"

_LOADER = "_rtld_global"
_LOADER_LOCKS = ("_dl_load_lock", "_dl_load_write_lock", "_dl_load_tls_lock")
"""Recursive mutexes that stand in a row in the loader's globals (glibc sysdeps/generic/ldsodefs.h; the third from 2.35 on)."""
_MUTEX_BYTES = 40

_BY_CALLER: Tuple[Tuple[str, str], ...] = (
    ("DispatchCache::Insert", WRITE_LOCK),
    ("DispatchCache::PromoteChainEntry", WRITE_LOCK),
    ("VirtualCallStubManager::GenerateStubIndirection", "VirtualCallStubManager::m_indCellLock"),
    ("ThreadStore::Enter", THREAD_STORE_LOCK),
    ("ThreadSuspend::LockThreadStore", THREAD_STORE_LOCK),
    ("MethodTable::DoRunClassInitThrowing", "ListLockEntry::m_Crst (class init)"),
    ("MethodDesc::JitCompileCode", "ListLockEntry::m_Crst (JIT)"),
    ("ClassLoader::LoadTypeHandleForTypeKey_Body", "PendingTypeLoadEntry::m_Crst"),
    ("CodeFragmentHeap::RealAllocAlignedMem", "CodeFragmentHeap::m_Lock"),
    ("CodeFragmentHeap::RealBackoutMem", "CodeFragmentHeap::m_Lock"),
    ("LoaderHeap::RealAllocMem", "LoaderHeap::m_CriticalSection"),
    ("EEJitManager::alloc", "EEJitManager::m_CodeHeapCritSec"),
    ("EECodeGenManager::AllocCode", "EECodeGenManager::m_CodeHeapLock"),
    ("SyncBlockCache::GetNextFreeSyncBlock", "SyncBlockCache::m_CacheLock"),
    ("ObjHeader::GetSyncBlock", "SyncBlockCache::m_CacheLock"),
    ("IdDispenser::NewId", "IdDispenser::m_Crst"),
    ("ExecutableAllocator::", "ExecutableAllocator::m_CriticalSection"),
    ("PerfMap::", "PerfMap::s_csPerfMap"),
)


def by_symbol(process: Process, address: int) -> Optional[str]:
    symbol = process.symbols.symbol_at(address)
    if symbol is None:
        return None
    name = plain(symbol.name)
    if name == _LOADER and symbol.start != address:
        return f"{_LOADER}.{_LOADER_LOCKS[_mutexes_before(process, address)]}"
    return name if symbol.start == address else f"{name}+0x{address - symbol.start:x}"


def _mutexes_before(process: Process, address: int) -> int:
    """How many recursive mutexes stand directly before this one."""
    count = 0
    while count < len(_LOADER_LOCKS) - 1:
        state = glibc.read(process.memory, address - _MUTEX_BYTES * (count + 1))
        if state is None or not state.recursive:
            break
        count += 1
    return count


def by_callers(waiters_frames: Sequence[Sequence[Frame]]) -> Optional[str]:
    """The member that the callers of Enter take; None unless all known callers agree."""
    names: List[str] = []
    for frames in waiters_frames:
        frame = first_own_frame(frames)
        lock = by_function(plain(frame.function)) if frame is not None and frame.function else None
        if lock is not None:
            names.append(lock)
    return names[0] if names and len(set(names)) == 1 else None


def by_function(function: str) -> Optional[str]:
    """The member that a function enters; None where it is not known to enter one."""
    return next((lock for prefix, lock in _BY_CALLER if function.startswith(prefix)), None)
