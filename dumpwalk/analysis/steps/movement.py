"""What a second look at the same process is compared by: marks of each thread's registers and stack, and counters that run on.

One dump says nothing about movement. These marks cost a read of each stack's top, and let two reports be compared without
their dumps (dumpwalk/compare).

Sources of the counters: class DispatchCache, `stats` (src/coreclr/vm/virtualcallstub.h; counted in release builds, too);
PortableThreadPool, `_separated.lastDequeueTime` (System.Private.CoreLib, PortableThreadPool.cs: Environment.TickCount when a
worker last took an item).
"""

from __future__ import annotations

import hashlib
import struct
from typing import Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import CacheLook, PoolLook, ThreadLook
from dumpwalk.analysis.step import Step
from dumpwalk.core.process import Thread
from dumpwalk.core.text_words import IsAddress, addresses_of, without_text
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.coreclr.words import Unknown
from dumpwalk.dataclass import dataclass

STATS = (
    "insert_cache_external", "insert_cache_shared", "insert_cache_dispatch", "insert_cache_resolve",
    "insert_cache_hit", "insert_cache_miss", "insert_cache_collide", "insert_cache_write",
)  # fmt: skip
_POOL_CLOCK = "lastDequeueTime"
_LEAST = 64


@dataclass(frozen=True)
class Mark:
    """Two marks of one thread are equal where nothing of this moved. None: not in the dump."""

    thread: Thread
    registers: Optional[str]
    """Of pc, sp and the registers that a call keeps: a system call that is left and entered again changes others."""
    stack: Optional[str]
    """Of the words from the stack pointer on."""


@dataclass(frozen=True)
class Counter:
    name: str
    address: int
    value: int
    size: int


@dataclass(frozen=True)
class Movement:
    marks: Tuple[Mark, ...] = ()
    counters: Tuple[Counter, ...] = ()


def _look(known: Gathered) -> Movement:
    is_address = addresses_of(known.process.regions)
    marks = [_mark(known, thread, is_address) for thread in known.process.threads]
    return Movement(tuple(marks), (*_cache_counters(known), *_pool_clock(known)))


def _mark(known: Gathered, thread: Thread, is_address: IsAddress) -> Mark:
    arch = known.process.arch
    values = [thread.registers.get(name) for name in (arch.pc, arch.sp, *arch.callee_saved)]
    registers = None
    if values[0] is not None and values[1] is not None:
        registers = _digest(struct.pack(f"<{len(values)}Q", *((v or 0) & (1 << 64) - 1 for v in values)))
    return Mark(thread, registers, _stack(known, values[1], is_address))


def _stack(known: Gathered, pointer: Optional[int], is_address: IsAddress) -> Optional[str]:
    """Less of it near the end of a stack, or of what the dump holds: as much in both looks, where nothing moved. Text does not
    count: a redacted evidence core has none."""
    size = limits.MARKED_STACK_BYTES
    while pointer is not None and size >= _LEAST:
        words = known.process.memory.read(pointer, size)
        if words is not None:
            words = words[: _before_strings(known, pointer)]
            return _digest(without_text(words, pointer, is_address))
        size //= 2
    return None


def _before_strings(known: Gathered, pointer: int) -> Optional[int]:
    """Bytes above a stack pointer that are no arguments or environment of the program; None where there is no end to them."""
    core = known.process.corefile
    start = core.strings_start if core is not None else None
    return start - pointer if start is not None and start > pointer else None


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _cache_counters(known: Gathered) -> Iterator[Counter]:
    cache = known.of(CacheLook).cache
    if cache is None:
        return
    words = known.process.memory.read(cache.shape.address, 4 * len(STATS))
    if words is None:
        return
    for position, value in enumerate(struct.unpack(f"<{len(STATS)}I", words)):
        yield Counter(f"DispatchCache.stats.{STATS[position]}", cache.shape.address + 4 * position, value, 4)


def _pool_clock(known: Gathered) -> List[Counter]:
    pool, view = known.of(PoolLook).pool, known.view
    if pool is None or view is None:
        return []
    separated = view.field(pool.address, "_separated")
    if isinstance(separated, Unknown):
        return []
    clock = view.struct_field(separated.method_table, separated.address, _POOL_CLOCK)
    if isinstance(clock, Unknown) or not isinstance(clock.value, int):
        return []
    return [Counter(f"PortableThreadPool.{_POOL_CLOCK}", clock.address, clock.value & 0xFFFFFFFF, 4)]


STEP = Step(
    name="movement",
    rank=150,
    gives=Movement,
    needs=(RuntimeView, CacheLook, PoolLook, ThreadLook),
    look=_look,
    instead=lambda known: Movement(),
    timed=False,
)
