"""What the memory of one lock says, whatever its implementation."""

from __future__ import annotations

from typing import Literal, NamedTuple, Optional, Tuple

from dumpwalk.core.grade import Grade
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Word:
    """One fact of a lock's memory."""

    what: str
    address: int
    value: int
    size: int = 4
    reading: str = ""
    """What it says, where that is not the plain number."""

    @property
    def shown(self) -> str:
        """The value as a person compares it: decimal for ids and counts, hex where bits matter."""
        return f"0x{self.value:x}" if self.reading or self.value >> 63 else str(self.value)

    def phrase(self) -> str:
        return f"{self.what} at 0x{self.address:x} = {self.shown}" + (f" ({self.reading})" if self.reading else "")


class Sighting(NamedTuple):
    """Where on a thread a value was seen: a register of frame 0, or a word of its stack. There is one for each such word."""

    value: int
    register: Optional[str] = None
    address: Optional[int] = None

    def phrase(self) -> str:
        where = self.register if self.register is not None else f"stack word 0x{self.address or 0:x}"
        return f"{where} = 0x{self.value:x}"


Numbering = Literal["os-tid", "managed-id", "thread-address"]
"""What the number of an owner is: the kernel's id, the runtime's, or the address of the runtime's Thread object."""
Holding = Literal["exclusive", "shared", "upgradeable", "initialising"]
Implementation = Literal[
    "glibc-mutex", "musl-mutex", "apple-mutex", "glibc-rwlock", "musl-rwlock", "spinlock", "pal-critical-section",
    "pal-mutex", "sync-block", "thin-lock", "system-threading-lock", "reader-writer-lock-slim",
    "reader-writer-lock", "pal-named-mutex", "list-lock-entry", "spin-lock",
]  # fmt: skip
"""Whose words a lock is made of."""
Sort = Literal["crst", "pal", "pthread", "monitor", "lock", "rwlock", "class-init", "mutex", "spinlock"]
"""What a lock is to a program: the report's locks[].kind."""
Named = Literal["symbol", "member", "known-build", "caller", "mapped-file"]
"""Where a lock's name comes from: a symbol, its place in a known object, its place in a build of the runtime whose locks were
looked up beforehand, the function above the one that enters it, the file that is mapped where it lies."""


@dataclass(frozen=True)
class Owner:
    """One holder of a lock, as a word of memory names it."""

    numbering: Numbering
    number: int
    word: Optional[Word] = None
    """The word that names it."""
    holding: Holding = "exclusive"
    grade: Grade = "proved"


@dataclass(frozen=True)
class LockState:
    """`address` is the lock the program knows (a Crst's lock, a mutex); `mutex` the pthread mutex in it."""

    address: int
    implementation: Implementation
    locked: Optional[bool]
    owner_tid: Optional[int]
    recursion: Optional[int]
    mutex: int
    condition: Optional[int] = None
    size: int = 40
    waiters: Optional[int] = None
    """The count its own memory gives, where it has one."""
    recursive: bool = False
    shared: bool = False
    """Made for use by several processes: its owner may be a thread of another one."""
    ready: bool = True
    """False for a PAL critical section that never got its native parts: nobody can wait for it."""
    awakened: bool = False
    """A PAL critical section has marked a waiter as awakened."""
    owner_word: Optional[Word] = None
    words: Tuple[Word, ...] = ()
    more_owners: Tuple[Owner, ...] = ()
    """Owners that `owner_tid` does not tell: others beside it, or those named by another number."""
    kind: Optional[Sort] = None
    """The report's locks[].kind, from the kind that read it; None for a lock of the system, which is told by how it is used."""
    name: Optional[str] = None
    name_source: Optional[Named] = None
    object_type: Optional[str] = None
    """Of a lock that is a managed object, or of a type that is being initialised: the type's name."""
    managed: bool = False
    """A lock of managed code, or a class initialiser."""
    object_address: Optional[int] = None
    """Of that object, or of that type's method table."""
    starving_since: Optional[int] = None
    """Milliseconds of the monotonic clock (32 bits) at which the oldest waiter that starves began to wait."""
    owners_unknown: Optional[str] = None
    """Why not everybody who holds it can be named, or None."""
    note: Optional[str] = None

    @property
    def owners(self) -> Tuple[Owner, ...]:
        """All who hold it, as far as its memory names them."""
        if self.owner_tid is None:
            return self.more_owners
        return (Owner("os-tid", self.owner_tid, self.owner_word), *self.more_owners)

    def holds(self, address: int) -> bool:
        """Does this word lie inside the lock (its mutex or its condition variable)?"""
        return self.address <= address < self.address + self.size
