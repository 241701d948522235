"""At which await many state machines stand and what they await, read from the bytes that have them: a column of each.

Machines of one form (their parts at the same offsets) are read together, so that a million of them are few steps each.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Callable, DefaultDict, Dict, List, Optional, Sequence, Tuple

from dumpwalk.coreclr.tasks.machine import MachinePlan

UNKNOWN_STATE = -128
_HIGHEST_STATE = 0x7FFF
_MARKS = 7
_HIGHEST = 1 << 47

Apart = Callable[[MachinePlan, int], Tuple[int, int]]
"""Reads one object that does not lie in the bytes at hand as a whole: its state and what it awaits first."""
_Form = Tuple[int, Tuple[int, ...]]
"""Offsets of the state and of the awaiters."""


class MachineColumns:
    """Reads columns. `apart` has the plan and the offset in the bytes of an object that has to be read by itself."""

    def __init__(self) -> None:
        self._forms: List[Optional[_Form]] = []
        self._plans: List[Optional[MachinePlan]] = []

    def add(self, plan: Optional[MachinePlan]) -> None:
        """The next kind of objects: machines of this plan, or none."""
        self._plans.append(plan)
        whole = plan is not None and plan.inside is None and plan.state > 0 and plan.state % 4 == 0
        if plan is not None and whole and all(offset > 0 and offset % 8 == 0 for offset in plan.awaiters):
            self._forms.append((plan.state, plan.awaiters))
        else:
            self._forms.append(None)

    def read(
        self, data: memoryview, places: Sequence[int], kinds: Sequence[int], apart: Apart
    ) -> Tuple[List[int], List[int]]:
        """(states, what is awaited first, 0 for nothing) of objects at these offsets, which are multiples of eight."""
        states, awaited = [UNKNOWN_STATE] * len(places), [0] * len(places)
        by_kind: DefaultDict[int, List[int]] = defaultdict(list)
        for row, kind in enumerate(kinds):
            by_kind[kind].append(row)
        by_form: Dict[_Form, List[int]] = {}
        alone: List[int] = []
        for kind, rows in by_kind.items():
            form = self._forms[kind]
            if self._plans[kind] is None:
                continue
            if form is None:
                alone += rows
                continue
            room = len(data) - max([form[0] + 4, *(offset + 8 for offset in form[1])])
            inside = [row for row in rows if places[row] <= room] if places[rows[-1]] > room else rows
            alone += [row for row in rows if places[row] > room] if inside is not rows else []
            by_form.setdefault(form, []).extend(inside)
        words, halves = data.cast("Q"), data.cast("i")
        for form, rows in by_form.items():
            there = [places[row] for row in rows]
            for row, state, value in zip(rows, _states(halves, there, form[0]), _first(words, there, form[1])):
                states[row], awaited[row] = state, value
        for row in alone:
            plan = self._plans[kinds[row]]
            if plan is not None:
                states[row], awaited[row] = apart(plan, places[row])
        return states, awaited


def _states(halves: memoryview, places: List[int], offset: int) -> List[int]:
    found = [halves[at + offset >> 2] for at in places]
    if found and not UNKNOWN_STATE < min(found) <= max(found) < _HIGHEST_STATE:
        return [small(state) for state in found]
    return found


def _first(words: memoryview, places: List[int], offsets: Tuple[int, ...]) -> List[int]:
    found = [0] * len(places)
    for number, offset in enumerate(offsets):
        values = [words[at + offset >> 3] for at in places]
        if any(map(_MARKS.__and__, values)) or (values and max(values) >= _HIGHEST):
            values = [value if is_address(value) else 0 for value in values]
        found = values if not number else [known or value for known, value in zip(found, values)]
    return found


def small(state: int) -> int:
    """A state as columns hold it."""
    return state if UNKNOWN_STATE < state < _HIGHEST_STATE else UNKNOWN_STATE


def is_address(value: int) -> bool:
    """A word that an object may be at."""
    return 0 < value < _HIGHEST and value & _MARKS == 0
