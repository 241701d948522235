"""What the JSON holds of the thread pool."""

from __future__ import annotations

from typing import Literal, Optional, Tuple

from dumpwalk.claims.words import Address
from dumpwalk.core.grade import Grade
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class PoolWorker:
    """One thread of the pool and what it is blocked on."""

    thread: int
    state: Literal["idle", "waiting", "working"]
    """Waiting: for a task, or for a lock whose owner waits for queued work."""
    runs: Optional[str] = None
    """The innermost task that it runs, where it runs one."""
    task: Optional[str] = None
    """The address of the task that it waits for."""
    task_runs: Optional[str] = None
    released_by: Optional[str] = None
    """The address of the queued work item that must run first."""
    behind: Optional[int] = None
    timed: bool = False
    grade: Optional[Grade] = None
    lock: Optional[str] = None
    """In words, with its address."""


@dataclass(frozen=True)
class PoolItem:
    queue: str
    position: int
    address: Address
    runs: str


@dataclass(frozen=True)
class PoolQueue:
    name: str
    items: int


@dataclass(frozen=True)
class ThreadPool:
    address: Address
    working: int
    existing: int
    goal: int
    minimum: int
    maximum: int
    queued: int
    queues: Tuple[PoolQueue, ...]
    items: Tuple[PoolItem, ...]
    """The first of what is queued, and all that a worker waits for."""
    workers: Tuple[PoolWorker, ...]
    starved: bool


MODEL = ThreadPool
LINES = ("workers", "items", "queues")
