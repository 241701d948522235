"""The documented order of the runtime's own locks: which type a named lock is of, and the level of that type.

A thread may enter a lock only of a lower level than every one that it holds; two of one level only where they were made with
CRST_UNSAFE_SAMELEVEL; a lock of level -1 is in no order (src/coreclr/vm/crst.cpp, IsSafeToTake). Release builds keep neither type
nor level, so a lock has them by its name. Levels: src/coreclr/inc/crsttypes_generated.h at commit 074487c; versions before 5 had
other types and are not told.
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from dumpwalk.dataclass import dataclass

SAME_LEVEL = 2
"""CRST_UNSAFE_SAMELEVEL in m_dwFlags (vm/crst.h)."""
UNORDERED = -1
SOURCE = "src/coreclr/inc/crsttypes_generated.h at 074487c"

_LEVELS: Dict[str, int] = {
    "ClassInit": 10,
    "ClrNotification": -1,
    "CodeFragmentHeap": 5,
    "CodeVersioning": 8,
    "DeadlockDetection": 0,
    "DebuggerController": -1,
    "DebuggerMutex": 12,
    "EventPipe": 19,
    "EventStore": 0,
    "ExecutableAllocatorLock": 0,
    "FCall": 3,
    "HandleTable": 1,
    "IJWHash": 0,
    "Jit": 10,
    "JitInlineTrackingMap": 11,
    "JitPatchpoint": 3,
    "JumpStubCache": 5,
    "LeafLock": 0,
    "ListLock": -1,
    "LoaderAllocator": 16,
    "LoaderAllocatorReferences": 17,
    "LoaderHeap": 2,
    "MethodDescBackpatchInfoTracker": 9,
    "MethodTableExposedObject": -1,
    "PEImage": 4,
    "PendingTypeLoadEntry": 20,
    "PerfMap": 0,
    "PgoData": 3,
    "PinnedByrefValidation": 0,
    "ReJITGlobalRequest": 15,
    "SigConvert": 3,
    "SingleUseLock": 4,
    "StubDispatchCache": 0,
    "SyncBlockCache": 2,
    "SystemDomain": 14,
    "SystemDomainDelayedUnloadList": 0,
    "ThreadIdDispenser": 0,
    "ThreadLocalStorageLock": 4,
    "ThreadStore": 13,
    "TieredCompilation": 7,
    "UnresolvedClassLock": 6,
    "VSDIndirectionCellLock": 3,
}

_TYPE_OF: Tuple[Tuple[str, str], ...] = (
    ("DispatchCache::m_writeLock", "StubDispatchCache"),
    ("VirtualCallStubManager::m_indCellLock", "VSDIndirectionCellLock"),
    ("ThreadStore::m_Crst", "ThreadStore"),
    ("ListLockEntry::m_Crst", "ListLock"),
    ("the JIT's lock of ", "ListLock"),
    ("PendingTypeLoadEntry::m_Crst", "PendingTypeLoadEntry"),
    ("CodeFragmentHeap::m_Lock", "CodeFragmentHeap"),
    ("LoaderHeap::m_CriticalSection", "LoaderHeap"),
    ("EEJitManager::m_CodeHeapCritSec", "SingleUseLock"),
    ("EECodeGenManager::m_CodeHeapLock", "SingleUseLock"),
    ("SyncBlockCache::m_CacheLock", "SyncBlockCache"),
    ("IdDispenser::m_Crst", "ThreadIdDispenser"),
    ("ExecutableAllocator::m_CriticalSection", "ExecutableAllocatorLock"),
    ("PerfMap::s_csPerfMap", "PerfMap"),
    ("LoaderAllocator::m_crstLoaderAllocator", "LoaderAllocator"),
    ("SystemDomain::m_SystemDomainCrst", "SystemDomain"),
    ("SystemDomain::m_DelayedUnloadCrst", "SystemDomainDelayedUnloadList"),
    ("CodeVersionManager::s_lock", "CodeVersioning"),
    ("TieredCompilationManager::s_lock", "TieredCompilation"),
    ("MethodDescBackpatchInfoTracker::s_lock", "MethodDescBackpatchInfoTracker"),
    ("OnStackReplacementManager::s_lock", "JitPatchpoint"),
    ("PgoManager::s_pgoMgrLock", "PgoData"),
    ("ExecutionManager::m_JumpStubCrst", "JumpStubCache"),
    ("PEImage::s_hashLock", "PEImage"),
    ("PEImage::s_ijwHashLock", "IJWHash"),
    ("ReJitManager::s_csGlobalRequest", "ReJITGlobalRequest"),
    ("EventStore::m_EventStoreCrst", "EventStore"),
    ("s_csReadyToRunStandaloneMethodMetadata", "LeafLock"),
    ("g_clrNotificationCrst", "ClrNotification"),
    ("CoreLibBinder::s_SigConvertCrst", "SigConvert"),
    ("JITInlineTrackingMap::s_mapCrst", "JitInlineTrackingMap"),
    ("_ep_rt_coreclr_config_lock", "EventPipe"),
    ("g_DeadlockAwareCrst", "DeadlockDetection"),
    ("g_TLSCrst", "ThreadLocalStorageLock"),
    ("gFCallLock", "FCall"),
    ("DebuggerController::g_criticalSection", "DebuggerController"),
)


@dataclass(frozen=True)
class CrstType:
    """`level` is UNORDERED for a lock that is in no order."""

    name: str
    level: int


def crst_type(lock_name: Optional[str], major: Optional[int]) -> Optional[CrstType]:
    """The type of a lock by its name; None where no name or no table of that version tells."""
    if lock_name is None or (major is not None and major < 5):
        return None
    name = next((kind for prefix, kind in _TYPE_OF if lock_name.startswith(prefix)), None)
    return CrstType(name, _LEVELS[name]) if name is not None else None


def contradicts(held: CrstType, wanted: CrstType, same_level_allowed: bool) -> bool:
    """May `wanted` not be entered under `held`? Of two locks that are held already the order is not known: ask both ways."""
    if UNORDERED in (held.level, wanted.level):
        return False
    if held.level == wanted.level:
        return not same_level_allowed
    return wanted.level > held.level
