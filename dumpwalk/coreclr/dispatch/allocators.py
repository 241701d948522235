"""LoaderAllocators: whether one is collectible, how many refer to it, whether it is unloaded.

Source: src/coreclr/vm/loaderallocator.hpp (3.1: src/vm). Behind its Crst, or its two Crsts, stand four bools (m_fGCPressure,
m_fUnloaded, m_fTerminated, m_fMarked), a count and m_IsCollectible; behind m_pVirtualCallStubManager stand a hash set of
references (a table and four counts), m_cReferences (u32; 0 = dead), the assembly that is to be deleted (set once the managed side
was collected) and m_nLoaderAllocator, the number of its creation. The reference count's place was compared with what the data
contract of 10 says of it.
"""

from __future__ import annotations

import struct
from typing import Callable, Dict, Optional

from dumpwalk.core.memory import read_words
from dumpwalk.core.process import Process
from dumpwalk.coreclr.dispatch.vocabulary import AllocatorState
from dumpwalk.coreclr.layouts import CRST_FLAG_BITS, Layout
from dumpwalk.coreclr.locks.crst import crst_flags, lock_looks_sane
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.dataclass import dataclass

_BYTES = 0x1000
"""Of an allocator that are looked through: 10's has 0x770 bytes before the count of references."""
_REFERENCES, _TO_DELETE, _NUMBER = 0x20, 0x28, 0x30
"""Behind the pointer to the stub manager."""
_MOST_REFERENCES = 1 << 24
PERMANENT = 0xFFFFFFFF
"""m_cReferences of the global allocator, which is never unloaded."""
_COOPERATIVE = 4
"""CRST_UNSAFE_COOPGC, with which the allocator's own Crsts are made; those of the heaps inside it have other flags."""
ALIVE: AllocatorState = "alive"
UNLOADING: AllocatorState = "unloading"
DEAD: AllocatorState = "dead"


@dataclass(frozen=True)
class Allocator:
    """One LoaderAllocator, as far as its memory tells."""

    address: int
    vtable: int
    collectible: Optional[bool]
    collectible_at: int
    """Where the byte that says so stands; 0 where it is not known."""
    references: Optional[int]
    references_at: int
    unloaded: Optional[bool]
    terminated: Optional[bool]
    collected: Optional[bool]
    """Its managed side is gone: the assembly that is to be deleted is set."""
    number: Optional[int]
    """Of its creation."""

    @property
    def state(self) -> Optional[AllocatorState]:
        """alive, unloading (its managed side is gone, or m_fUnloaded is set) or dead (no references); None where unread."""
        if self.references is None:
            return None
        if self.references == 0:
            return DEAD
        return UNLOADING if self.collected or self.unloaded or self.terminated else ALIVE


class AllocatorReader:
    """Reads allocators; where their fields lie is learned from the objects themselves and is the same for all."""

    def __init__(self, process: Process, runtime: RuntimeView, is_object: Callable[[int], bool]) -> None:
        self._memory = process.memory
        self._layouts = runtime.layouts
        self._is_object = is_object
        contract = runtime.contract.contract
        self._told = contract.offset("LoaderAllocator", "ReferenceCount") if contract is not None else None
        self._manager_at: Optional[int] = None
        self._known: Dict[int, Optional[Allocator]] = {}

    def at(self, address: int, manager: int) -> Optional[Allocator]:
        """The allocator at an address that points back at the manager; None where nothing there does."""
        if address % 8 or not 0x10000 < address < 1 << 57 or not self._is_object(address):
            return None
        words = self._words(address)
        places = [self._manager_at] if self._manager_at is not None else range(8, 8 * len(words), 8)
        for at in places:
            if at // 8 < len(words) and words[at // 8] == manager:
                self._manager_at = at
                return self._read(address, words, at)
        return None

    def _words(self, address: int) -> tuple:
        for count in (_BYTES // 8, 0x100, 0x80):
            words = read_words(self._memory, address, count)
            if words is not None:
                return words
        return ()

    def _read(self, address: int, words: tuple, manager_at: int) -> Allocator:
        references = to_delete = number = None
        data = self._memory.read(address + manager_at, _NUMBER + 8)
        if data is not None and self._told in (None, manager_at + _REFERENCES):
            count, to_delete, number = struct.unpack_from("<I4xQQ", data, _REFERENCES)
            if number < 1 << 32 and (count < _MOST_REFERENCES or count == PERMANENT):
                references = count
        flags_at = self._flags_at(address, manager_at)
        flags = self._memory.read(address + flags_at, 9) if flags_at else None
        collectible = unloaded = terminated = None
        if flags is not None and max(flags[:4]) <= 1 and flags[8] <= 1:
            collectible, unloaded, terminated = bool(flags[8]), bool(flags[1]), bool(flags[2])
        return Allocator(
            address,
            words[0],
            collectible,
            address + flags_at + 8 if collectible is not None else 0,
            references,
            address + manager_at + _REFERENCES,
            unloaded,
            terminated,
            bool(to_delete) if references is not None else None,
            number if references is not None else None,
        )

    def _flags_at(self, address: int, end: int) -> int:
        """The offset behind the allocator's own first Crst, or the last of those directly behind it; 0 where there is none."""
        for row in self._layouts:
            for at in range(0x40, end - row.crst_size, 8):
                if not self._is_crst(address + at, row):
                    continue
                at += row.crst_size
                while self._is_crst(address + at, row):
                    at += row.crst_size
                return at
        return 0

    def _is_crst(self, address: int, row: Layout) -> bool:
        flags = crst_flags(self._memory, address, row)
        return (
            flags is not None and flags & CRST_FLAG_BITS == _COOPERATIVE and lock_looks_sane(self._memory, address, row)
        )
