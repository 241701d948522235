"""What a comparison says, as frozen dataclasses. Renderers read it; nothing here decides anything."""

from __future__ import annotations

from typing import Literal, Optional, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.model import Tool

Status = Literal["stuck", "moving", "unknown"]
Motion = Literal["still", "turning", "moved", "new", "ended", "unknown"]
"""still: registers, stack and frames are equal. turning: it stays in one function, whose callers have not moved. moved: it is
somewhere else. unknown: the looks do not hold what would tell."""
Change = Literal["held", "changed", "released", "taken", "unknown"]
EXIT_CODES = {"stuck": 10, "moving": 0, "unknown": 12}


@dataclass(frozen=True)
class Look:
    path: str
    taken: Optional[str]
    """ISO 8601, UTC."""
    taken_from: Optional[str]
    """What says so: the stop of a live process, or the time of the core's file."""
    verdict: str
    """The verdict line of its report."""


@dataclass(frozen=True)
class ThreadMotion:
    thread: Optional[int]
    """Its number in the second look; None where it ended."""
    before: Optional[int]
    """Its number in the first look; None for a new one."""
    tid: Optional[int]
    name: Optional[str]
    motion: Motion
    what: str
    ran: Optional[bool] = None
    """Whether the kernel gave it a processor between the looks, which looks at a live process tell."""


@dataclass(frozen=True)
class LockMotion:
    address: str
    kind: str
    label: str
    owner: Optional[int]
    """Thread of the second look."""
    motion: Change
    """held: the same owner in both looks, with waiters that stayed. changed: another owner, or other waiters."""
    waiting: Tuple[int, ...]
    """Threads that wait for it in both looks."""
    what: str
    starving: bool = False
    """The lock's own clock has stood since before the first look: no waiter got it in between."""


@dataclass(frozen=True)
class CounterMotion:
    name: str
    address: str
    before: int
    after: int


@dataclass(frozen=True)
class Group:
    """Threads that wait for each other, or for one owner, over both looks."""

    status: Status
    title: str
    threads: Tuple[int, ...]
    locks: Tuple[str, ...]
    facts: Tuple[str, ...]
    signature: Optional[str] = None


@dataclass(frozen=True)
class Outcome:
    status: Status
    exit_code: int
    line: str
    headline: str
    because: Tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    schema_version: int
    tool: Tool
    verdict: Outcome
    first: Look
    second: Look
    seconds: Optional[float]
    """Between the looks, where both tell when they were taken."""
    groups: Tuple[Group, ...]
    threads: Tuple[ThreadMotion, ...]
    locks: Tuple[LockMotion, ...]
    counters: Tuple[CounterMotion, ...]
    not_established: Tuple[str, ...]
