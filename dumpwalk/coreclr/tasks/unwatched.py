"""Chains that no thread blocks on: whether anybody is left to end them, and whether anybody still refers to them.

What keeps a chain alive is what it ends at, and who stored one of its tasks. A chain whose end nobody but itself leads to never
goes on. Where something leads to one of its tasks, it is waited for in vain, or was forgotten; where nothing does, it is
garbage that no collection has taken yet, and nobody misses it. One chain of each kind is looked at.
"""

from __future__ import annotations

from typing import FrozenSet, List, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.coreclr.tasks.census import Group
from dumpwalk.coreclr.tasks.chain import EndKind
from dumpwalk.coreclr.tasks.referrers import Question, Reach, Referrers
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.dataclass import dataclass

_SEARCHED: Tuple[EndKind, ...] = ("completion-source", "promise")
"""Ends that are tasks themselves: what waits for them is known from the task."""


@dataclass(frozen=True)
class Unwatched:
    """One kind of chains."""

    group: Group
    end: Reach
    """Who leads to the end of one of them."""
    chain: Reach
    """Who leads to the tasks of that chain; empty where somebody leads to the end."""

    @property
    def garbage(self) -> bool:
        return self.end.nobody and self.chain.nobody


def look(tasks: Tasks, referrers: Referrers, groups: Sequence[Group]) -> List[Unwatched]:
    """Searches for the most frequent kinds, as far as the bound allows, in two sweeps for all of them."""
    asked = [g for g in groups if g.thread is None and g.end in _SEARCHED][: limits.ENDS_SEARCHED]
    chains = [frozenset(task for task, _ in tasks.released_by(group.example)) for group in asked]
    questions = [_of_end(group, chain) for group, chain in zip(asked, chains)]
    ends = referrers.reach(questions) if questions else []
    dead = [number for number, end in enumerate(ends) if end.nobody]
    again = [Question(chains[number], frozenset(), frozenset()) for number in dead]
    kept = dict(zip(dead, referrers.reach(again) if again else []))
    return [Unwatched(group, end, kept.get(n, Reach())) for n, (group, end) in enumerate(zip(asked, ends))]


def _of_end(group: Group, chain: FrozenSet[int]) -> Question:
    return Question(frozenset({group.example}), chain - {group.example}, frozenset())
