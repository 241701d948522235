"""What the JSON holds of awaiting methods."""

from __future__ import annotations

from typing import Optional, Tuple

from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class AsyncStep:
    """A method of a chain, or a promise that stands between two."""

    kind: str
    """method, all (WhenAll), any (WhenAny), continuation, wrapper (Unwrap, AsTask), task."""
    name: str
    at_await: Optional[int] = None
    address: Optional[str] = None
    grade: Optional[str] = None

    @property
    def label(self) -> str:
        return self.name if self.at_await is None else f"{self.name} at await {self.at_await}"


@dataclass(frozen=True)
class AsyncEnd:
    """What the last method of a chain waits for."""

    kind: str
    what: str
    address: Optional[str] = None
    thread: Optional[int] = None
    due_ms: Optional[int] = None
    set_at_ms: Optional[int] = None
    nobody: Optional[bool] = None
    held_by: Tuple[str, ...] = ()
    grade: Optional[str] = None


@dataclass(frozen=True)
class AsyncChain:
    """Equal chains."""

    count: int
    threads: Tuple[int, ...]
    timed: bool
    stuck: bool
    steps: Tuple[AsyncStep, ...]
    end: AsyncEnd
    kept_by: Tuple[str, ...] = ()
    garbage: Optional[bool] = None
    """True: nothing leads to the end nor to the chain. False: something leads to the chain, whose end nobody leads to."""


@dataclass(frozen=True)
class Async:
    chains: Tuple[AsyncChain, ...]
    total: int
    tasks: int
    alone: int
    searched_bytes: int


MODEL = Async
LINES = ("chains",)
