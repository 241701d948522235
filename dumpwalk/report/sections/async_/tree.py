"""Chains as a tree for the page: equal beginnings stand once, and methods that follow each other without a fork in one box."""

from __future__ import annotations

from dataclasses import field
from typing import Dict, List, Sequence, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.sections.async_.model import AsyncChain, AsyncStep
from dumpwalk.report.sections.async_.phrases import ending

DEEPEST = 24
"""Forks below each other that are drawn as such; deeper ones stand in the box of the last."""


@dataclass(frozen=True)
class Ending:
    """Where chains of one branch end."""

    text: str
    count: int
    threads: Tuple[int, ...]
    stuck: bool
    address: str
    grade: str


@dataclass
class Branch:
    """Methods that follow each other, and what comes after the last."""

    labels: List[str]
    count: int = 0
    children: List[Branch] = field(default_factory=list)
    endings: List[Ending] = field(default_factory=list)


@dataclass
class _Fork:
    children: Dict[str, _Fork] = field(default_factory=dict)
    endings: List[Ending] = field(default_factory=list)
    count: int = 0


def tree(chains: Sequence[AsyncChain]) -> List[Branch]:
    """The branches from the methods that nothing awaits, in the order of the chains."""
    root = _Fork()
    for chain in chains:
        at = root
        for label in _labels(chain.steps):
            at = at.children.setdefault(label, _Fork())
            at.count += chain.count
        end = chain.end
        at.endings.append(
            Ending(ending(chain), chain.count, chain.threads, bool(end.nobody), end.address or "", end.grade or "")
        )
    branches = [_branch(label, child, 0) for label, child in root.children.items()]
    return branches + (
        [Branch(["a task"], sum(e.count for e in root.endings), [], root.endings)] if root.endings else []
    )


def _labels(steps: Sequence[AsyncStep]) -> List[str]:
    return [step.label for step in steps]


def _branch(label: str, fork: _Fork, depth: int) -> Branch:
    branch = Branch([label], fork.count)
    while len(fork.children) == 1 and not fork.endings:
        ((label, fork),) = fork.children.items()
        branch.labels.append(label)
    branch.endings = fork.endings
    if depth < DEEPEST:
        branch.children = [_branch(one, child, depth + 1) for one, child in fork.children.items()]
    else:
        branch.endings = [*fork.endings, *(ending for child in fork.children.values() for ending in _all(child))]
    return branch


def _all(fork: _Fork) -> List[Ending]:
    found, work = [], [fork]
    while work:
        one = work.pop()
        found += one.endings
        work.extend(one.children.values())
    return found
