"""What the JSON holds of locks."""

from __future__ import annotations

from typing import Optional, Tuple

from dumpwalk.claims.words import Address
from dumpwalk.core.grade import Grade
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import Holding, Implementation, Named, Sort


@dataclass(frozen=True)
class Owner:
    tid: Optional[int]
    thread: Optional[int]
    grade: Grade


@dataclass(frozen=True)
class LockOwner:
    """One of those who hold a lock."""

    tid: Optional[int]
    thread: Optional[int]
    managed_id: Optional[int]
    holding: Holding
    """exclusive, shared, upgradeable, initialising."""
    gone: bool
    """It is no thread of the process any more."""
    grade: Grade
    word: Optional[str]
    """The word of memory that names it: `_owningThreadId at 0x... = 1361`."""


@dataclass(frozen=True)
class LockObject:
    address: Address
    type: Optional[str]


@dataclass(frozen=True)
class Waiter:
    thread: int
    grade: Grade
    how: Optional[str] = None


@dataclass(frozen=True)
class Lock:
    address: Address
    name: Optional[str]
    kind: Sort
    implementation: Implementation
    locked: Optional[bool]
    owner: Optional[Owner]
    waiters: Tuple[Waiter, ...]
    recursion: Optional[int]
    name_source: Optional[Named] = None
    words: Tuple[str, ...] = ()
    """What its memory says, a phrase each: `__owner at 0x... = 13786`."""
    note: Optional[str] = None
    object: Optional[LockObject] = None
    """The managed object that is locked; for a class initialiser the type that it prepares."""
    owners: Tuple[LockOwner, ...] = ()
    """All who hold it, as far as memory names them; `owner` is the first of them."""
    owners_unknown: Optional[str] = None
    starving_since_ms: Optional[int] = None
    crst_type: Optional[str] = None
    """Of a lock of the runtime: its type in the documented order, by its name."""
    level: Optional[int] = None
    """That type's level; -1 for one that is in no order."""
