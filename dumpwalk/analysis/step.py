"""A step of the analysis: one file in `steps`, found by walking the folder, that looks at one thing and gives one result.

A step declares what it needs (results of earlier steps), which areas of coverage are lost when time runs out in it, and what
it gives then. Results are not changed afterwards; `observe.py` runs the steps and makes `Facts` of all results at once.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, List, Tuple, Type

from dumpwalk.analysis.facts import Gathered
from dumpwalk.claims.model import Coverage
from dumpwalk.core.parts import exported
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Step:
    name: str
    """In words, as a progress line and in `the time limit was reached in the phase "..."`."""
    rank: int
    """Steps run in this order."""
    gives: Type[Any]
    """The class of its result, by which others ask for it: `facts.of(RuntimeView)`."""
    needs: Tuple[Type[Any], ...]
    look: Callable[[Gathered], Any]
    instead: Callable[[Gathered], Any]
    """Its result where it could not run or did not end."""
    covers: Callable[[Gathered], Iterable[Coverage]] = lambda known: ()
    """How far what it looked at reaches, told when all steps have run: later ones may have learned what it did not see."""
    areas: Tuple[str, ...] = ()
    """Areas of coverage that say so then."""
    share: float = 1.0
    """Below 1: only so much of the time that is left, and the steps after it go on."""
    applies: Callable[[Gathered], bool] = lambda known: True
    """False: there is nothing to look at, and `instead` is the answer."""
    timed: bool = True
    """False for what is only put together from results at hand: done also when time is over."""


def all_steps() -> List[Step]:
    """In the order in which they run."""
    return sorted(exported("dumpwalk.analysis.steps", "STEP"), key=lambda step: step.rank)
