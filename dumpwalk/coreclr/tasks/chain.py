"""A chain of awaiting methods: what each waits for, down to where it ends.

A tree, since WhenAll and WhenAny wait for several; each node is an object of the heap.
"""

from __future__ import annotations

from typing import Iterator, List, Literal, Optional, Tuple

from dumpwalk.core.grade import Grade
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import Word

EndKind = Literal[
    "timer", "io", "semaphore", "channel", "completion-source", "value-source", "promise", "cancellation", "queued", "posted",
    "running", "unstarted", "custom", "over", "unread", "cycle", "limit",
]  # fmt: skip
NodeKind = Literal["method", "all", "any", "continuation", "wrapper", "task"]

OPEN: Tuple[EndKind, ...] = ("completion-source", "semaphore", "channel", "value-source", "promise", "cancellation")
"""Ends that somebody has to complete: whether anybody is there is another question (referrers.py)."""


@dataclass(frozen=True)
class End:
    """Where a chain ends."""

    kind: EndKind
    address: Optional[int]
    """The object: a task, a source of values, a semaphore's waiter."""
    what: str
    """In words."""
    grade: Grade
    how: str
    thread: Optional[int] = None
    """Of running: its index."""
    due_ms: Optional[int] = None
    """Of a timer: milliseconds from its setting until it fires."""
    set_at_ms: Optional[int] = None
    """Of a timer: the tick count (milliseconds since the machine's start) at which it was set."""
    lock: Optional[int] = None
    """Of a semaphore: the SemaphoreSlim, where it is known."""


@dataclass(frozen=True)
class Node:
    """One task or method on the way."""

    address: int
    kind: NodeKind
    what: str
    """`Shop.Till.Pay`, `Task.WhenAll`."""
    await_number: Optional[int] = None
    """Of a method: the await it stands at, 1 for the first in its text."""
    grade: Grade = "proved"
    """Of the step to what it waits for."""
    how: str = ""
    below: Tuple[Node, ...] = ()
    end: Optional[End] = None
    """Where nothing is below."""
    left_out: int = 0
    """More that it waits for, which are not followed."""
    context: Optional[int] = None
    """The SynchronizationContext in which it goes on, where it captured one."""
    words: Tuple[Word, ...] = ()
    """The words of memory that show the step to what it waits for."""

    @property
    def label(self) -> str:
        return f"{self.what} at await {self.await_number}" if self.await_number is not None else self.what

    def ends(self) -> Iterator[Tuple[Tuple[Node, ...], End]]:
        """Each end with the nodes that lead to it."""
        stack: List[Tuple[Tuple[Node, ...], Node]] = [((self,), self)]
        while stack:
            way, node = stack.pop()
            if node.end is not None:
                yield way, node.end
            stack.extend(((*way, child), child) for child in reversed(node.below))

    def nodes(self) -> Iterator[Node]:
        """All of the tree, each before what is below it."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.below))
