"""Chains that nobody can end: whether anybody is left who could complete what a chain waits for."""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.coreclr.tasks.chain import OPEN, End, Node
from dumpwalk.coreclr.tasks.referrers import Question, Reach, Referrers
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.tasks.waits import TaskWait
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class EndLook:
    """One end of a chain, and who leads to it where that was looked for."""

    way: Tuple[Node, ...]
    """From the task that the thread blocks on to the last method."""
    end: End
    reach: Optional[Reach] = None

    @property
    def nobody(self) -> bool:
        """Nobody in the process is shown to be responsible for it any more."""
        if self.end.kind == "cycle":
            return self._proved
        return self.reach is not None and self.reach.nobody

    @property
    def _proved(self) -> bool:
        return all(node.grade == "proved" for node in self.way)

    @property
    def open_question(self) -> Optional[str]:
        """What lacked to tell whether anybody is responsible; None where it was told."""
        if self.end.kind in ("unread", "limit") or (self.end.kind == "cycle" and not self._proved):
            return self.end.how
        if self.reach is not None and not self.reach.holders and self.reach.lacks:
            return "; ".join(self.reach.lacks)
        return None


class Judge:
    """Looks at the ends of chains of one process, each end once."""

    def __init__(self, tasks: Tasks, referrers: Referrers, waits: Mapping[int, TaskWait]) -> None:
        self._tasks, self._referrers, self._waits = tasks, referrers, waits
        self._known: Dict[int, Reach] = {}

    def search(self, chains: Sequence[Node]) -> None:
        """Searches what leads to the open ends of these chains, as far as the bound allows."""
        asked: Dict[int, Question] = {}
        for chain in chains:
            for way, end in chain.ends():
                if end.kind in OPEN and end.address is not None and len(asked) < limits.ENDS_SEARCHED:
                    key = end.lock or end.address
                    if key not in asked and key not in self._known:
                        asked[key] = self._question(end, end.address, way)
        self._known.update(zip(asked, self._referrers.reach(list(asked.values()))))

    def ends(self, chain: Node) -> List[EndLook]:
        """The ends of a chain, with what leads to those that were searched."""
        return [
            EndLook(way, end, self._known.get(end.lock or end.address or 0) if end.kind in OPEN else None)
            for way, end in chain.ends()
        ]

    def _question(self, end: End, address: int, way: Tuple[Node, ...]) -> Question:
        waiters = [address, *(self._waiters(end.lock) if end.lock else ())]
        members = {task for one in waiters for task, _ in self._tasks.released_by(one)} - {address}
        members |= {node.address for node in way} - {address}
        ends = frozenset([*waiters, end.lock] if end.lock else waiters)
        return Question(ends, frozenset(members), self._blocked(frozenset(members | {address})))

    def _waiters(self, semaphore: int) -> List[int]:
        """Those who wait in the queue of a semaphore."""
        found: List[int] = []
        node = self._tasks.reference(semaphore, "m_asyncHead")
        while node and node not in found and len(found) < limits.CONTINUATIONS:
            found.append(node)
            node = self._tasks.reference(node, "Next")
        return found

    def _blocked(self, members: FrozenSet[int]) -> FrozenSet[int]:
        """Threads that go on only after members do."""
        return frozenset(
            index
            for index, wait in self._waits.items()
            if not wait.timed and wait.tasks and all(task.address in members for task in wait.tasks)
        )


def is_stuck(node: Node, looks: Mapping[int, bool]) -> bool:
    """Whether a chain never goes on. `looks`: by the id of an End, whether nobody can complete it.

    What waits for all of several is stuck with any of them, what waits for the first only with all.
    """
    if node.end is not None:
        return looks.get(id(node.end), False)
    stuck = [is_stuck(child, looks) for child in node.below]
    if node.kind == "any":
        return bool(stuck) and all(stuck) and not node.left_out
    return any(stuck)


def is_settled(node: Node) -> bool:
    """Whether what will end a chain is known: time, a device, a worker of the pool, a thread."""
    if node.end is not None:
        end = node.end
        if end.kind == "timer":
            return end.due_ms is not None
        return end.kind in ("io", "queued", "posted") or (end.kind == "running" and end.thread is not None)
    below = [is_settled(child) for child in node.below]
    return any(below) if node.kind == "any" else all(below) and not node.left_out
