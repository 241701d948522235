"""Whose memory the cache's nodes are, and which threads unload: the result of the step of that name."""

from __future__ import annotations

from dataclasses import field
from typing import List, Optional, Tuple

from dumpwalk.core.names import plain
from dumpwalk.core.process import Process, Thread
from dumpwalk.coreclr.dispatch.managers import Managers
from dumpwalk.dataclass import dataclass

UNLINKING = (
    "VirtualCallStubManager::~VirtualCallStubManager",
    "VirtualCallStubManager::ResetCache",
    "DispatchCache::Iterator::UnlinkEntry",
)
"""Functions that take elements out of chains (virtualcallstub.cpp); up to 10 without the cache's lock."""
UNLOADING = (
    "LoaderAllocator::GCLoaderAllocators",
    "LoaderAllocator::Destroy",
    "LoaderAllocator::Terminate",
    "LoaderAllocator::~LoaderAllocator",
    "LoaderAllocator::UninitVirtualCallStubManager",
    "AssemblyLoaderAllocator::~AssemblyLoaderAllocator",
    "VirtualCallStubManager::Uninit",
    "System.Reflection.LoaderAllocatorScout.Finalize",
    "System.Reflection.LoaderAllocatorScout.Destroy",
)
"""The destruction of a collectible allocator (loaderallocator.cpp) and the finalizer that begins it (LoaderAllocatorScout)."""
ASKING = (
    "System.Runtime.Loader.AssemblyLoadContext.Unload",
    "System.Runtime.Loader.AssemblyLoadContext.InitiateUnload",
)
"""Who asks for an unload: the destruction comes later, on the finalizer's thread."""


@dataclass(frozen=True)
class Unloader:
    """A thread with one of these functions on its stack."""

    thread: Thread
    function: str
    source: str
    """symbol, metadata or inferred."""
    what: str
    """unlinking, unloading or asking."""


@dataclass(frozen=True)
class NodeOwners:
    managers: Managers = field(default_factory=Managers)
    unloaders: Tuple[Unloader, ...] = ()

    @property
    def unlinking(self) -> Optional[Unloader]:
        return next((u for u in self.unloaders if u.what == "unlinking"), None)


def find_unloaders(process: Process) -> List[Unloader]:
    """Threads that unload, the innermost such function of each."""
    found = []
    for thread in process.threads:
        for frame in thread.frames():
            what = _what(plain(frame.function)) if frame.function and frame.name_source != "none" else ""
            if what and frame.trust != "scan":
                found.append(Unloader(thread, plain(frame.function or ""), frame.name_source, what))
                break
    return found


def _what(function: str) -> str:
    for names, what in ((UNLINKING, "unlinking"), (UNLOADING, "unloading"), (ASKING, "asking")):
        if function.startswith(names):
            return what
    return ""
