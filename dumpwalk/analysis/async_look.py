"""What is known of awaiting methods: the chains that threads block on with their ends, and the count of all chains."""

from __future__ import annotations

from typing import Optional, Tuple

from dumpwalk.core.process import Thread
from dumpwalk.coreclr.tasks.census import Census
from dumpwalk.coreclr.tasks.chain import Node
from dumpwalk.coreclr.tasks.stuck import EndLook, is_settled
from dumpwalk.coreclr.tasks.unwatched import Unwatched
from dumpwalk.coreclr.tasks.waits import TaskWait
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Bound:
    """A method of a chain that goes on only in the SynchronizationContext of one thread."""

    node: Node
    context: int
    type_name: str
    thread: Thread
    posted: bool
    """What it awaited is done, and it stands in the context."""
    how: str


@dataclass(frozen=True)
class BlockedChain:
    """A thread that blocks on a task, and what that waits for."""

    thread: Thread
    wait: TaskWait
    chain: Node
    ends: Tuple[EndLook, ...]
    stuck: bool
    """Nobody is shown to be left who could end it."""
    bound: Tuple[Bound, ...] = ()

    @property
    def settled(self) -> bool:
        """What will end it is known."""
        return is_settled(self.chain)

    @property
    def dead_ends(self) -> Tuple[EndLook, ...]:
        return tuple(look for look in self.ends if look.nobody)

    @property
    def open_question(self) -> Optional[str]:
        """Why it cannot be told whether it goes on; None where it is told, or something shows that it may."""
        if self.stuck or self.wait.timed:
            return None
        return next((look.open_question for look in self.ends if look.open_question is not None), None)


@dataclass(frozen=True)
class AsyncLook:
    blocked: Tuple[BlockedChain, ...] = ()
    census: Optional[Census] = None
    """None where nobody asked for the tasks of the heap."""
    why: str = ""
    """Why nothing was looked at."""
    lacks: Tuple[str, ...] = ()
    unwatched: Tuple[Unwatched, ...] = ()
    """Chains that no thread blocks on, where the user asked for all chains."""
