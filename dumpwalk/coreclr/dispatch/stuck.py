"""Threads that walk a bucket chain right now, and whether their walk can end.

Two facts make "stuck now" (weak-memory machines may show a reader a passing cycle, dotnet/runtime issue 134255): the thread
runs in a chain-walk loop, and its cursor register stands on a node of the cycle. A third makes it certain: the key it looks
for is in none of the cycle's nodes. Where the code around the pc is not at hand, the owner of m_writeLock with a register on
the cycle is as good: only Insert and PromoteChainEntry walk under that lock (virtualcallstub.cpp).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk.core.memory import Memory
from dumpwalk.core.process import Process, Thread
from dumpwalk.coreclr.dispatch.audit import CacheWalk, ChainCycle, loop_elements
from dumpwalk.coreclr.dispatch.loops import CHAIN_STUB, INSERT, PROMOTE_ENTRY, WalkLoop, walk_loop_at
from dumpwalk.coreclr.dispatch.token_hash import bucket_of
from dumpwalk.coreclr.layouts import NODE_NEXT
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import LockState
from dumpwalk.locks.waits import Wait

_WALKERS = {
    "DispatchCache::Insert": INSERT,
    "DispatchCache::PromoteChainEntry": PROMOTE_ENTRY,
    "DispatchCache::Lookup": "DispatchCache::Lookup",
    "VirtualCallStubManager::CacheLookup": "VirtualCallStubManager::CacheLookup",
    "VirtualCallStubManager::GetTarget": "VirtualCallStubManager::GetTarget",
    "ResolveWorkerChainLookupAsmStub": CHAIN_STUB,
}


@dataclass
class Walker:
    """One thread in (or shown to be in) a chain walk."""

    thread: Thread
    loop: Optional[WalkLoop]
    function: Optional[str]
    """Name of the function, by symbol or by its code."""
    function_source: str
    cursor_register: Optional[str]
    cursor: Optional[int]
    """The node it stands on."""
    cycle: Optional[ChainCycle]
    owns_lock: bool
    """m_writeLock's owner word names this thread."""
    key: Optional[Tuple[int, int]]
    """(pMT, token) it looks for, when registers tell."""
    key_in_cycle: Optional[bool]
    code_known: bool
    owner_unknown: bool = False
    """The lock's owner word could not be read, or names an id that no thread can be matched to: the dump has no thread ids."""

    @property
    def in_writer(self) -> bool:
        """Its function takes m_writeLock before it walks (Insert, PromoteChainEntry), by symbol or by code."""
        return self.function in (INSERT, PROMOTE_ENTRY)

    @property
    def on_cycle(self) -> bool:
        """Its cursor stands on a cycle in which the key it looks for is not."""
        return self.cycle is not None and not self.key_in_cycle

    @property
    def stuck(self) -> bool:
        """Proved not to leave: on the cycle, in the loop (or owner of the lock where the code is not at hand), and what it
        looks for is not there. A writer whose lock names another owner contradicts itself: not proved."""
        if not self.on_cycle:
            return False
        if self.in_writer or self.function is None:
            confirmed = self.owns_lock and (self.loop is not None or not self.code_known or self.in_writer)
            return confirmed or (self.in_writer and self.owner_unknown and self.loop is not None)
        return self.loop is not None

    @property
    def likely(self) -> bool:
        """On the cycle, and something that would prove it stuck is missing or contradicts."""
        return self.on_cycle and not self.stuck and (self.loop is not None or not self.code_known)

    @property
    def writer(self) -> bool:
        """It holds m_writeLock: by the owner word, or where that cannot tell, by its code, which walks under it only."""
        return self.owns_lock or (self.in_writer and self.owner_unknown)


def find_walkers(
    process: Process, waits: Sequence[Wait], walk: Optional[CacheWalk], lock: Optional[LockState]
) -> List[Walker]:
    """All threads that run in a chain-walk loop or hold a cycle's node while they are not in a system call."""
    found = []
    memory = process.memory
    nodes: Dict[int, ChainCycle] = {}
    for cycle in walk.cycles if walk else ():
        for element in loop_elements(memory, cycle):
            nodes.setdefault(element[0], cycle)
    for wait in waits:
        if wait.call.inside:
            continue
        walker = _walker(process, wait, nodes, lock)
        if walker is not None:
            found.append(_in_its_bucket(memory, walker, walk))
    return found


def _in_its_bucket(memory: Memory, walker: Walker, walk: Optional[CacheWalk]) -> Walker:
    """Where several buckets lead into one loop, the walker is in that of the key it looks for."""
    if walker.cycle is None or walker.key is None or walk is None:
        return walker
    bucket = bucket_of(*walker.key)
    for own in walk.cycles:
        if own.bucket == bucket and any(e[0] == walker.cycle.entry for e in loop_elements(memory, own)):
            return replace(walker, cycle=own)
    return walker


def _walker(process: Process, wait: Wait, nodes: dict, lock: Optional[LockState]) -> Optional[Walker]:
    thread = wait.thread
    registers = thread.registers
    pc = registers.get(process.arch.pc, 0)
    loop = walk_loop_at(process.code, process.arch, pc)
    code_known = process.code.read(pc, 1) is not None
    name, source = _function(thread, loop)
    owns = bool(lock and lock.owner_tid and process.thread_by_tid(lock.owner_tid) is thread)
    register, cursor = _cursor(process, thread, loop, nodes)
    if loop is None and name is None and (cursor is None or (code_known and not owns)):
        return None
    cycle = nodes.get(cursor) if cursor is not None else None
    key = _key(loop, registers)
    inside = None
    if cycle is not None and loop is not None and loop.kind == "promote" and loop.element:
        inside = nodes.get(registers.get(loop.element, 0)) is cycle
    elif cycle is not None and key is not None:
        inside = any(e[1:3] == key for e in loop_elements(process.memory, cycle))
    unknown = lock is None or (bool(lock.locked) and thread.tid_source == "synthetic")
    return Walker(thread, loop, name, source, register, cursor, cycle, owns, key, inside, code_known, unknown)


def _function(thread: Thread, loop: Optional[WalkLoop]) -> Tuple[Optional[str], str]:
    frames = thread.frames()
    symbol = frames[0].function if frames and frames[0].name_source == "symbol" else None
    if symbol:
        for prefix, name in _WALKERS.items():
            if symbol.startswith(prefix) or symbol.lstrip("_").startswith(prefix):
                return name, "symbol"
        if loop is None:
            return None, "none"
    if loop is not None and loop.function:
        return loop.function, "inferred"
    return None, "none"


def _cursor(
    process: Process, thread: Thread, loop: Optional[WalkLoop], nodes: dict
) -> Tuple[Optional[str], Optional[int]]:
    """The register that stands on a node: the one the loop's own code names, else any that points at a cycle's node."""
    registers = thread.registers
    if loop is not None:
        named = [(name, registers[name] - bias) for name, bias in loop.cursors if name in registers]
        for name, node in named:
            if node in nodes:
                return name, node
        return named[0] if named else (None, None)
    for name in process.arch.general:
        value = registers.get(name, 0)
        if value in nodes:
            return name, value
        if value - NODE_NEXT in nodes:
            return name, value - NODE_NEXT
    return None, None


def _key(loop: Optional[WalkLoop], registers: object) -> Optional[Tuple[int, int]]:
    if loop is None or loop.mt is None or loop.token is None:
        return None
    values = registers if isinstance(registers, dict) else dict(registers)  # type: ignore[call-overload]
    if loop.mt not in values or loop.token not in values:
        return None
    return values[loop.mt], values[loop.token]
