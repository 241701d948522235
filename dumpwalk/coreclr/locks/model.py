"""What memory says of one managed lock, and of one wait that is for no lock: the same shape for every kind."""

from __future__ import annotations

from dataclasses import field
from typing import List, Optional

from dumpwalk.core.grade import Grade
from dumpwalk.core.process import Thread
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import Implementation, LockState, Owner, Sighting, Sort, Word


@dataclass(frozen=True)
class LockObject:
    """The object that the program locks; for a class initialiser the type it prepares."""

    address: int
    type: Optional[str]
    """None where its name could not be read."""


@dataclass(frozen=True)
class LockWaiter:
    """One thread that wants the lock."""

    thread: Thread
    grade: Grade
    how: str
    seen: Optional[Sighting] = None
    wants: str = "enter"
    """enter; of a reader-writer lock read, write, upgradeable read, upgrade."""
    timed: bool = False
    """The wait gives up by itself at some time."""


@dataclass
class ManagedLock:
    """One lock and everyone around it."""

    kind: Sort
    implementation: Implementation
    address: int
    """The object's; of a mutex the PAL's; of a class initialiser the Crst's."""
    object: Optional[LockObject]
    locked: Optional[bool]
    owners: List[Owner] = field(default_factory=list)
    waiters: List[LockWaiter] = field(default_factory=list)
    counted: Optional[int] = None
    """Waiters by the lock's own count."""
    recursion: Optional[int] = None
    """How many times its owner entered it."""
    starving_since: Optional[int] = None
    """Milliseconds of the monotonic clock (32 bits) at which the oldest starving waiter began."""
    words: List[Word] = field(default_factory=list)
    note: Optional[str] = None
    owners_unknown: Optional[str] = None
    """Why some owner cannot be named (readers of a reader-writer lock), or None."""

    def state(self) -> LockState:
        """The same as every lock is told."""
        return LockState(
            address=self.address,
            implementation=self.implementation,
            locked=self.locked,
            owner_tid=None,
            recursion=self.recursion,
            mutex=self.address,
            size=8,
            waiters=self.counted,
            recursive=True,
            words=tuple(self.words),
            more_owners=tuple(self.owners),
            kind=self.kind,
            managed=True,
            object_type=self.object.type if self.object is not None else None,
            object_address=self.object.address if self.object is not None else None,
            starving_since=self.starving_since,
            owners_unknown=self.owners_unknown,
            note=self.note,
        )
