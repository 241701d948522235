"""Who could still complete what a chain ends at: everything that leads to it in the captured memory.

A method that nobody can reach will never be called. So the words that name the end are looked for, then those that name the
objects that have them, and so on, until a root is met (a thread's stack, a register, a static, a handle, any word outside of
the managed heap) or nothing is left. Methods that wait for that very end do not count, nor the stacks of threads that wait for
those: they go on only afterwards. Every doubt counts as a root: a claim that nobody is left needs all of it to be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, read_u64
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.tasks.heap import chunks, writable_runs
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.tasks.timers import timer_of
from dumpwalk.coreclr.types.containing import Containing

_PLANE = 2
_CALLBACK = "System.Threading.CancellationTokenSource+CallbackNode"


@dataclass(frozen=True)
class Holder:
    """Something that leads to the end and is no part of the chain."""

    word: int
    """The address of the word that names it; 0 for a register."""
    what: str


@dataclass
class Reach:
    """What came of a search."""

    holders: List[Holder] = field(default_factory=list)
    """The first roots that were met; none: nobody leads to it, where nothing lacks."""
    passed: List[int] = field(default_factory=list)
    """Objects on the way from the end towards roots."""
    lacks: List[str] = field(default_factory=list)
    searched: int = 0
    """Bytes."""

    @property
    def nobody(self) -> bool:
        return not self.holders and not self.lacks


class Referrers:
    """Searches of one process. Nothing raises."""

    def __init__(self, around: Surroundings, bounds: Optional[Tuple[int, int]], whole: Optional[str]) -> None:
        """`whole` is None where the dump has all memory that could name an object, else why it has not."""
        self._around, self._bounds, self._whole = around, bounds, whole
        self._memory = around.process.memory
        self._containing = Containing(self._memory, around.view, bounds or (0, 0))
        self._tasks = Tasks(around.view)

    def reach(self, ends: Iterable[int], members: FrozenSet[int], blocked: FrozenSet[int]) -> Reach:
        """`members` wait for the ends; `blocked` are indexes of threads that wait for members."""
        found = Reach()
        if self._bounds is None or self._whole is not None:
            found.lacks.append(self._whole or "the bounds of the managed heap are not known")
            return found
        frontier, seen = set(ends), set(ends) | set(members)
        for _ in range(limits.REFERRER_LEVELS):
            self._registers(found, frontier, blocked)
            upper: Set[int] = set()
            for target, word in find_words(self._memory, frontier):
                if read_u64(self._memory, word) != target:
                    continue  # read again, so that who keeps what the analysis read keeps it
                self._one(found, word, seen, upper, blocked)
                if len(found.holders) >= limits.HOLDERS or len(upper) > limits.REFERRERS:
                    break
            found.searched = sum(end - start for start, end in writable_runs(self._memory))
            if found.holders or not upper:
                return found
            if len(upper) > limits.REFERRERS:
                found.lacks.append(f"more than {limits.REFERRERS} objects lead to it")
                return found
            seen |= upper
            found.passed += sorted(upper)
            frontier = upper
        found.lacks.append(f"objects that lead to it were followed {limits.REFERRER_LEVELS} times, and there are more")
        return found

    def _registers(self, found: Reach, frontier: Set[int], blocked: FrozenSet[int]) -> None:
        for thread in self._around.process.threads:
            if thread.index not in blocked:
                for name, value in thread.registers.items():
                    if value in frontier:
                        found.holders.append(Holder(0, f"{name} of thread {thread.index}"))

    def _one(self, found: Reach, word: int, seen: Set[int], upper: Set[int], blocked: FrozenSet[int]) -> None:
        assert self._bounds is not None
        if self._bounds[0] <= word < self._bounds[1]:
            obj = self._containing.of(word)
            if obj is None:
                found.holders.append(Holder(word, "a word of the heap whose object could not be told"))
            elif obj not in seen:
                root = self._root(obj)
                if root is not None:
                    found.holders.append(Holder(word, root))
                else:
                    upper.add(obj)
            return
        stack = self._stack(word)
        if stack is None:
            found.holders.append(Holder(word, "a word outside of the managed heap: a static field, a handle"))
            return
        thread, used = stack
        if used and thread.index not in blocked:
            found.holders.append(Holder(word, f"the stack of thread {thread.index}"))

    def _root(self, obj: int) -> Optional[str]:
        """What an object is that something outside of it will call: a timer that is set, a callback of a cancellation."""
        if timer_of(self._tasks, obj) is not None:
            return f"a timer that is set, by way of the object 0x{obj:x}"
        if self._around.view.definition_of(obj) == _CALLBACK:
            return f"a callback of a CancellationToken, 0x{obj:x}"
        return None

    def _stack(self, word: int) -> Optional[Tuple[Thread, bool]]:
        """The thread on whose stack a word lies, and whether that part of it is in use."""
        thread = self._around.thread_of_stack(word)
        if thread is not None and self._one_run(thread.registers.get(self._around.process.arch.sp, 0), word):
            return thread, True
        following = self._around.thread_above(word)
        if following is not None and self._one_run(word, following.registers.get(self._around.process.arch.sp, 0)):
            return following, False
        return None

    def _one_run(self, low: int, high: int) -> bool:
        """Both addresses lie in one run of captured memory: one stack."""
        run = self._memory.extent(low)
        return run is not None and run[0] <= high < run[1]

    def words(self, obj: int, targets: Set[int]) -> List[Tuple[int, str]]:
        """The fields of an object that name one of these, for people."""
        size = self._around.view.size_of(obj)
        data = self._memory.read(obj, min(size, 4096)) if isinstance(size, int) and size > 0 else None
        rows = []
        for at in range(8, len(data or b"") - 7, 8):
            if int.from_bytes((data or b"")[at : at + 8], "little") in targets:
                rows.append((obj + at, self._containing.field_at(obj, obj + at) or "an element"))
        return rows


def find_words(memory: Memory, targets: Set[int]) -> Iterator[Tuple[int, int]]:
    """(target, address) of every aligned word of the writable memory that is one of the targets.

    One byte of each word is looked at first, bits 16 to 23: it tells objects apart that are far from each other, and of words
    that are no addresses few have it.
    """
    needles = {t.to_bytes(8, "little"): t for t in targets}
    bytes_there = re.compile(b"[" + re.escape(bytes(sorted({needle[_PLANE] for needle in needles}))) + b"]")
    for start, end in writable_runs(memory):
        for base, data, _, _ in chunks(memory, start, end, 0, 0):
            for hit in bytes_there.finditer(data[_PLANE::8]):
                at = 8 * hit.start()
                target = needles.get(data[at : at + 8])
                if target is not None:
                    yield target, base + at


def members_of(released: Sequence[Iterable[int]]) -> FrozenSet[int]:
    """All tasks that cannot go on before one of several ends does."""
    found: Dict[int, None] = {}
    for tasks in released:
        found.update(dict.fromkeys(tasks))
    return frozenset(found)
