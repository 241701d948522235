"""Who could still complete what a chain ends at: everything that leads to it in the captured memory.

A method that nobody can reach will never be called. So the words that name the end are looked for, then those that name the
objects that have them, and so on, until a root is met (a thread's stack, a register, a static, a handle, any word outside of
the managed heap) or nothing is left. Methods that wait for that very end do not count, nor the stacks of threads that wait for
those: they go on only afterwards. Every doubt counts as a root: a claim that nobody is left needs all of it to be read.
"""

from __future__ import annotations

from dataclasses import field
from typing import Dict, FrozenSet, Iterator, List, Optional, Sequence, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, is_captured, read_u64
from dumpwalk.core.process import Thread
from dumpwalk.core.word_sieve import WordSieve
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.tasks.heap import chunks, writable_runs
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.tasks.timers import timer_of
from dumpwalk.coreclr.types.containing import Containing
from dumpwalk.dataclass import dataclass

_PLANES = (2, 1, 3)
"""Bits 16 to 23 tell objects apart that are far from each other."""
_CALLBACK = "System.Threading.CancellationTokenSource+CallbackNode"


@dataclass(frozen=True)
class Holder:
    """Something that leads to the end and is no part of the chain."""

    word: int
    """The address of the word that names it; 0 for a register."""
    what: str


@dataclass(frozen=True)
class Question:
    """What is asked about one end of chains."""

    ends: FrozenSet[int]
    """The object, and what it belongs to (a semaphore and its waiters)."""
    members: FrozenSet[int]
    """Tasks that wait for the ends."""
    blocked: FrozenSet[int]
    """Indexes of threads that wait for members."""


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

    def reach(self, questions: Sequence[Question]) -> List[Reach]:
        """What leads to the ends of each question; all of them share the passes over memory."""
        found = [Reach() for _ in questions]
        if self._bounds is None or self._whole is not None:
            for one in found:
                one.lacks.append(self._whole or "the bounds of the managed heap are not known")
            return found
        runs = list(writable_runs(self._memory))
        size = sum(end - start for start, end in runs)
        frontiers = [set(question.ends) for question in questions]
        seen = [set(question.ends) | question.members for question in questions]
        for _ in range(limits.REFERRER_LEVELS):
            asking: Dict[int, List[int]] = {}
            for number, frontier in enumerate(frontiers):
                for target in frontier:
                    asking.setdefault(target, []).append(number)
            if not asking:
                return found
            upper: List[Set[int]] = [set() for _ in questions]
            for number, frontier in enumerate(frontiers):
                self._registers(found[number], frontier, questions[number].blocked)
                found[number].searched = size
            for target, word in find_words(self._memory, set(asking), runs):
                if read_u64(self._memory, word) != target:
                    continue  # read again, so that who keeps what the analysis read keeps it
                for number in asking[target]:
                    one = found[number]
                    if len(one.holders) < limits.HOLDERS and len(upper[number]) <= limits.REFERRERS:
                        self._one(one, word, seen[number], upper[number], questions[number].blocked)
            for number, one in enumerate(found):
                if len(upper[number]) > limits.REFERRERS:
                    one.lacks.append(f"more than {limits.REFERRERS} objects lead to it")
                seen[number] |= upper[number]
                one.passed += sorted(upper[number])
                frontiers[number] = set() if one.holders or one.lacks else upper[number]
        for number, frontier in enumerate(frontiers):
            if frontier:
                found[number].lacks.append(
                    f"objects that lead to it were followed {limits.REFERRER_LEVELS} times, and there are more"
                )
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
        """All between the addresses is captured: one stack."""
        return low <= high < low + limits.STACK_BYTES and is_captured(self._memory, low, high + 1)

    def words(self, obj: int, targets: Set[int]) -> List[Tuple[int, str]]:
        """The fields of an object that name one of these, for people."""
        size = self._around.view.size_of(obj)
        data = self._memory.read(obj, min(size, 4096)) if isinstance(size, int) and size > 0 else None
        rows = []
        for at in range(8, len(data or b"") - 7, 8):
            if int.from_bytes((data or b"")[at : at + 8], "little") in targets:
                rows.append((obj + at, self._containing.field_at(obj, obj + at) or "an element"))
        return rows


def find_words(memory: Memory, targets: Set[int], runs: Sequence[Tuple[int, int]]) -> Iterator[Tuple[int, int]]:
    """(target, address) of every aligned word of these parts of memory that is one of the targets."""
    sieve = WordSieve([target.to_bytes(8, "little") for target in targets], _PLANES)
    for start, end in runs:
        for base, data, _, _ in chunks(memory, start, end, 0, 0):
            for at, word in sieve.hits(data):
                yield int.from_bytes(word, "little"), base + at
