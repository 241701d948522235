"""Who could still complete what a chain ends at: everything that leads to it in the captured memory.

A method that nobody can reach will never be called. So the words that name the end are looked for, then those that name the
objects that have them, and so on, until a root is met (a thread's stack, a register, a static, a handle, any word outside of
the managed heap) or nothing is left. Methods that wait for that very end do not count, nor the stacks of threads that wait for
those: they go on only afterwards. Every doubt counts as a root: a claim that nobody is left needs all of it to be read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from typing import Dict, FrozenSet, Iterator, List, Optional, Sequence, Set, Tuple, Union

from dumpwalk import limits
from dumpwalk.core.memory import is_captured
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.tasks.ends import CALLBACK
from dumpwalk.coreclr.tasks.heap import writable_runs
from dumpwalk.coreclr.tasks.sweep import Sweep
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.tasks.timers import timer_of
from dumpwalk.coreclr.types.containing import Containing
from dumpwalk.dataclass import dataclass


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
        self._registers: Optional[Dict[int, List[Tuple[int, str]]]] = None

    def reach(self, questions: Sequence[Question]) -> List[Reach]:
        """What leads to the ends of each question; all of them share one sweep over memory."""
        if self._bounds is None or self._whole is not None:
            why = self._whole or "the bounds of the managed heap are not known"
            return [Reach(lacks=[why]) for _ in questions]
        runs = list(writable_runs(self._memory))
        sweep = Sweep(self._memory, runs, self._bounds)
        climbs = [_Climb(self, sweep, question) for question in questions]
        while True:
            asking: Dict[int, List[_Climb]] = {}
            for climb in climbs:
                for target in climb.wanted():
                    asking.setdefault(target, []).append(climb)
            if not asking:
                size = sum(end - start for start, end in runs)
                return [climb.found(size) for climb in climbs]
            for target, word in sweep.on(asking):
                for climb in asking.get(target, ()):
                    climb.meet(target, word)

    def held_in_registers(self, target: int, blocked: FrozenSet[int]) -> Iterator[Holder]:
        """Registers of threads that name an object, but for the threads of these indexes."""
        if self._registers is None:
            self._registers = {}
            for thread in self._around.process.threads:
                for name, value in thread.registers.items():
                    self._registers.setdefault(value, []).append((thread.index, name))
        for index, name in self._registers.get(target, ()):
            if index not in blocked:
                yield Holder(0, f"{name} of thread {index}")

    def owner(self, word: int, blocked: FrozenSet[int]) -> Union[int, Holder, None]:
        """What a word that names an object belongs to: another object, or a root; None where it does not count."""
        assert self._bounds is not None
        if self._bounds[0] <= word < self._bounds[1]:
            obj = self._containing.of(word)
            return obj if obj is not None else Holder(word, "a word of the heap whose object could not be told")
        stack = self._stack(word)
        if stack is None:
            return Holder(word, "a word outside of the managed heap: a static field, a handle")
        thread, used = stack
        return Holder(word, f"the stack of thread {thread.index}") if used and thread.index not in blocked else None

    def root(self, obj: int) -> Optional[str]:
        """What an object is that something outside of it will call: a timer that is set, one of a token's source too."""
        if timer_of(self._tasks, obj) is not None:
            return f"a timer that is set, by way of the object 0x{obj:x}"
        return None

    def source_of(self, obj: int) -> Optional[int]:
        """The CancellationTokenSource that an object is a callback of; None for any other object."""
        if self._around.view.definition_of(obj) != CALLBACK:
            return None
        registrations = self._tasks.reference(obj, "Registrations")
        return (self._tasks.reference(registrations, "Source") if registrations else None) or None

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


class _Climb:
    """The way up from the ends of one question, a step at a time, as the sweep meets what leads there."""

    def __init__(self, referrers: Referrers, sweep: Sweep, question: Question) -> None:
        self._referrers, self._sweep, self._question = referrers, sweep, question
        self._level: Dict[int, int] = {}
        """Steps from the ends to an object."""
        self._on_level: Counter = Counter()
        self._holders: Dict[int, List[Holder]] = {}
        """By the number of steps from the ends."""
        self._crowd = limits.REFERRER_LEVELS + 1
        """The least number of steps at which there are too many objects."""
        self._sources: Dict[int, int] = {}
        """Sources of tokens of which a callback was met, with that."""
        for end in sorted(question.ends):
            self._arrive(end, 0)
            source = referrers.source_of(end)
            if source is not None:
                self._come_to(source, 1, end)

    def wanted(self) -> List[int]:
        """Objects of which all that names them has still to be known, so that no nearer root is left out than was found."""
        enough = min([self._crowd, limits.REFERRER_LEVELS, *(level - 1 for level in self._holders)])
        return [t for t, level in self._level.items() if level < enough and not self._sweep.is_through(t)]

    def meet(self, target: int, word: int) -> None:
        """A word names an object that was asked about."""
        level = self._level[target] + 1
        if level > min([self._crowd, *self._holders]):
            return
        owner = self._referrers.owner(word, self._question.blocked)
        if isinstance(owner, Holder):
            self._hold(level, owner)
        elif owner is not None and owner not in self._question.members:
            self._come_to(owner, level, word)

    def _come_to(self, obj: int, level: int, word: int) -> None:
        """An object has a word that leads to the ends. A callback's own referrers are its source's, which calls it."""
        source = self._referrers.source_of(obj)
        if source is not None:
            self._sources.setdefault(source, obj)
            obj = source
        if self._level.get(obj, level + 1) <= level:
            return
        root = self._referrers.root(obj)
        if root is not None:
            self._hold(level, Holder(word, root))
        else:
            self._arrive(obj, level)

    def _hold(self, level: int, holder: Holder) -> None:
        held = self._holders.setdefault(level, [])
        if len(held) < limits.HOLDERS:
            held.append(holder)

    def _arrive(self, obj: int, level: int) -> None:
        """An object leads to the ends in so many steps, fewer than were known."""
        self._on_level[level] += 1
        self._on_level[self._level.get(obj, -1)] -= 1
        if level and self._on_level[level] > limits.REFERRERS:
            self._crowd = min(self._crowd, level)
            return
        self._level[obj] = level
        if level >= limits.REFERRER_LEVELS:
            return
        for holder in self._referrers.held_in_registers(obj, self._question.blocked):
            self._hold(level + 1, holder)
        self._sweep.ask(obj)
        for word in self._sweep.words(obj):
            self.meet(obj, word)

    def found(self, searched: int) -> Reach:
        """What came of it. The nearest roots only: what is farther may be there by way of anything."""
        nearest = min(self._holders, default=None)
        passed = [obj for obj, level in sorted(self._level.items(), key=lambda row: (row[1], row[0])) if level]
        one = Reach(self._holders[nearest] if nearest is not None else [], passed, [], searched)
        if nearest is not None:
            return one
        lacks = self._lacks()
        if lacks and self._sources:
            source, node = min(self._sources.items())
            one.holders.append(Holder(node, f"a callback of a CancellationToken, of the source 0x{source:x}"))
        else:
            one.lacks += lacks
        return one

    def _lacks(self) -> List[str]:
        lacks = []
        if self._crowd <= limits.REFERRER_LEVELS:
            lacks.append(f"more than {limits.REFERRERS} objects lead to it")
        elif any(level >= limits.REFERRER_LEVELS for level in self._level.values()):
            times = limits.REFERRER_LEVELS
            lacks.append(f"objects that lead to it were followed {times} times, and there are more")
        if any(level < limits.REFERRER_LEVELS and self._sweep.is_full(obj) for obj, level in self._level.items()):
            lacks.append(f"more than {limits.REFERRER_WORDS:,} words name one object")
        if self._sweep.unread:
            lacks.append(f"{self._sweep.unread:,} bytes of memory could not be read")
        return lacks
