"""What the JSON holds of threads, their frames and groups."""

from __future__ import annotations

from typing import Optional, Tuple

from dumpwalk.claims.words import Address
from dumpwalk.core.vocabulary import FrameKind, NameSource, ThreadState, TidSource, Trust, Unwinder
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Frame:
    pc: Address
    module: Optional[str]
    function: Optional[str]
    offset: Optional[int]
    name_source: NameSource
    """symbol, metadata (a managed method), inferred or none."""
    trust: Trust
    """context (the thread's own registers), cfi (unwind data), unwind-info (the runtime's, of managed code), fp
    (frame-pointer chain), frame-chain (the runtime's own notes), scan (stack scan)."""
    kind: FrameKind = "native"
    """native, managed or stub (code that the runtime made between the two)."""
    source: Optional[str] = None
    """`path/file.cpp:123`, where debug data tells."""
    unwinder: Optional[Unwinder] = None
    """lldb or dumpwalk: who found the frame."""


@dataclass(frozen=True)
class Wait:
    kind: str
    """mutex, condition, futex, timed-wait, sleep, poll, read, syscall: what the thread's system call is for."""
    address: Optional[Address]
    """The word or object it waits on."""
    lock: Optional[Address]
    """locks[].address, when the wait is for a lock."""
    timed: bool = False
    """It gives up by itself after a time."""


@dataclass(frozen=True)
class Managed:
    """The runtime's own record of a thread."""

    id: Optional[int]
    address: Address
    mode: Optional[str]
    """cooperative or preemptive."""
    state: Optional[str]
    """The state word, hex."""
    flags: Tuple[str, ...]
    role: Optional[str]
    """finalizer, gc (the suspending thread), or None."""
    how: str
    name: Optional[str] = None
    """Thread.Name."""


@dataclass(frozen=True)
class Thread:
    index: int
    tid: Optional[int]
    tid_source: TidSource
    name: Optional[str]
    state: ThreadState
    """running, waiting or unknown."""
    wait: Optional[Wait]
    group: Optional[int]
    frames: Tuple[Frame, ...]
    managed: Optional[Managed] = None
    role: Optional[str] = None
    """What it is for, where its frames or the runtime tell: idle service threads are no evidence of a hang."""
    note: Optional[str] = None


@dataclass(frozen=True)
class Group:
    id: int
    count: int
    threads: Tuple[int, ...]
    frames: Tuple[Frame, ...]
    state: ThreadState
    title: str
    """One line: what these threads do."""
