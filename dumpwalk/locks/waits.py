"""What each thread waits for: from its system call, the words of the lock it names, and the frames above.

A register is a candidate, never a fact by itself: the lock's own memory has to agree (an owner that is a thread of this
process, a count of waiters, a kind that exists, the Crst's flags word). Frame 0's arguments come first; callee-saved
registers of outer frames are used where those do not lead to a lock, since a debugger without the system libraries
recovers some of them wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Iterator, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.grade import Grade
from dumpwalk.core.memory import read_words
from dumpwalk.core.process import Process, Thread
from dumpwalk.coreclr.layouts import Layout
from dumpwalk.coreclr.locks import crst
from dumpwalk.locks.graph import Node
from dumpwalk.locks.mutex_facts import is_mutex
from dumpwalk.locks.state import LockState, Sighting
from dumpwalk.locks.syscalls import SystemCall, is_condition_wait, system_call

_SIGNAL_WORDS = (0x28, 0x2C, 0x20, 0x24, 0x4, 0x8)
"""Where in a pthread_cond_t its futex words lie: `__g_signals` of glibc 2.25 and later (+0x28, +0x2C), older ones (+4)."""


@dataclass(frozen=True)
class Layer:
    """One thing that a thread waits for, as one kind of lock sees it."""

    kind: str
    """As Wait.kind."""
    word: Optional[int]
    lock: Optional[LockState]
    grade: Grade
    how: str
    target: Optional[Node] = None
    """What it waits for where that is no lock: the end of a thread, a task, an event."""
    explained: str = ""
    """Why this wait, as it is, says nothing of a hang: nobody holds what it waits for. Empty for locks and for the unknown."""
    seen: Optional[Sighting] = None
    """The register or stack word that leads to what it waits for, where that is not the system call's own argument."""


@dataclass
class Wait:
    """One thread's wait. `lock` is None when it waits for no lock that memory confirms.

    A wait has layers: a waiter of a Monitor sleeps on a native condition variable. Its own fields are those of the outermost
    one, which is what the program waits for; `below` are the others, the innermost first.
    """

    thread: Thread
    call: SystemCall
    kind: str
    """mutex, condition, futex, sleep, poll, read, ..., or empty for a running thread."""
    word: Optional[int] = None
    """The address its system call waits on."""
    lock: Optional[LockState] = None
    is_crst: bool = False
    grade: Grade = "unresolved"
    how: str = ""
    target: Optional[Node] = None
    """What it waits for where that is no lock."""
    below: Tuple[Layer, ...] = ()
    explained: str = ""
    """As Layer.explained; any recogniser may set it (analysis/unexplained.py asks)."""
    seen: Optional[Sighting] = None
    """As Layer.seen."""
    areas: Tuple[str, ...] = ()
    """The areas of those kinds that laid a layer over it."""

    def under(self, layer: Layer, area: str = "locks") -> Wait:
        """The same wait with one more layer, of a kind of that area, over those that are known."""
        mine = Layer(self.kind, self.word, self.lock, self.grade, self.how, self.target, self.explained, self.seen)
        return replace(
            self,
            kind=layer.kind,
            word=layer.word if layer.word is not None else self.word,
            lock=layer.lock,
            is_crst=False,
            grade=layer.grade,
            how=layer.how,
            target=layer.target,
            below=(*self.below, mine),
            explained=layer.explained,
            areas=(*self.areas, area),
            seen=layer.seen,
        )

    @property
    def node(self) -> Optional[Node]:
        """What it waits for, in the wait-for graph."""
        return Node("lock", self.lock.address) if self.lock is not None else self.target

    @property
    def timed(self) -> bool:
        """It gives up by itself: futex(2) has a time-out (the fourth argument)."""
        arguments = self.call.arguments
        return self.call.kind == "timed-wait" or (
            self.call.kind == "futex" and len(arguments) > 3 and arguments[3] != 0
        )

    @property
    def state(self) -> str:
        return {True: "waiting", False: "running", None: "unknown"}[self.call.inside]


class WaitReader:
    """Reads every thread's wait under the layouts of this process. `layouts` is empty when there is no runtime."""

    def __init__(self, process: Process, layouts: Sequence[Layout], libc: Optional[str]) -> None:
        self._process = process
        self._layouts = list(layouts)
        self._libc = libc
        self._known: Dict[int, Tuple[LockState, bool]] = {}
        self._pal = [row for row in self._layouts if row.lock.startswith("pal")]

    def read(self, thread: Thread) -> Wait:
        call = system_call(self._process, thread)
        if not call.inside:
            return Wait(thread, call, "")
        if call.kind == "futex":
            return self._futex(thread, call)
        if call.kind == "psynch-mutex":
            return self._psynch(thread, call, call.arguments[0], "mutex", "__psynch_mutexwait's first argument")
        if call.kind == "psynch-condition":
            return self._psynch(thread, call, call.arguments[3], "condition", "__psynch_cvwait's mutex argument")
        return Wait(thread, call, {"psynch-rw": "lock", "other": "syscall"}.get(call.kind, call.kind))

    def _futex(self, thread: Thread, call: SystemCall) -> Wait:
        word, operation = call.arguments[0], call.arguments[1]
        wait = Wait(thread, call, "condition" if is_condition_wait(operation) else "futex", word)
        argument = self._process.arch.syscall_arguments[0]
        state, why = self._mutex_at_word(thread, call, word, call.arguments[2])
        if state is not None:
            wait.kind, wait.lock, wait.is_crst = "mutex", state, self._is_crst(state)
            wait.grade = "proved"
            wait.how = f"futex wait on {argument} = 0x{word:x}, the mutex's own word ({why})"
            return wait
        found = self._critical_section_at_word(word)
        if found is not None:
            wait.kind, wait.lock, wait.is_crst = "mutex", found, self._is_crst(found)
            part = "mutex" if word < (found.condition or 0) else "condition variable"
            wait.grade = "proved"
            wait.how = f"futex wait on {argument} = 0x{word:x}, inside the {part} of the critical section at 0x{found.address:x}"
        return wait

    def _mutex_at_word(
        self, thread: Thread, call: SystemCall, word: int, expected: int
    ) -> Tuple[Optional[LockState], str]:
        process = self._process
        for libc, at, fits in (
            ("glibc", word, expected & 0xFFFFFFFF == 2),
            ("musl", word - 4, bool(expected & 0x80000000)),
        ):
            if not fits or self._libc not in (None, libc):
                continue
            state = crst.pthread_mutex(process.memory, at, libc, process.os)
            if state is None:
                continue
            believed, why = is_mutex(process, thread, call, state, self._has_crst_flags(state))
            if believed:
                return self._remember(state), why
        return None, ""

    def _critical_section_at_word(self, word: int) -> Optional[LockState]:
        for row in self._pal:
            offsets = [(row.condition or 0) + signal for signal in _SIGNAL_WORDS] + [row.mutex]
            for offset in offsets:
                state = self._critical_section(word - offset, row)
                if state is not None:
                    return self._remember(state)
        return None

    def _critical_section(self, address: int, row: Layout) -> Optional[LockState]:
        known = self._known.get(address)
        if known is not None:
            return known[0]
        state = crst.read_lock(self._process.memory, address, row)
        if state is None or not state.ready or not (state.waiters or state.awakened):
            return None
        if state.owner_tid is not None and not state.locked:
            return None
        size = row.crst_size - 8
        has_flags = crst.crst_flags(self._process.memory, address, row) is not None
        owner = self._process.thread_by_tid(state.owner_tid) if state.owner_tid is not None else None
        if not has_flags and owner is None:
            return None  # without a living owner only a Crst's flags word tells it from other memory
        state.size = size
        return state

    def _is_crst(self, state: LockState) -> bool:
        return self._remember_crst(state)

    def _remember(self, state: LockState) -> LockState:
        known = self._known.get(state.address)
        if known is not None:
            return known[0]
        self._known[state.address] = (state, self._has_crst_flags(state))
        return state

    def _remember_crst(self, state: LockState) -> bool:
        return self._known[state.address][1]

    def _has_crst_flags(self, state: LockState) -> bool:
        for row in self._layouts:
            pal_row = row.lock.startswith("pal")
            if pal_row != (state.implementation == "pal-critical-section"):
                continue
            if crst.crst_flags(self._process.memory, state.address, row) is not None:
                state.size = row.crst_size - 8
                return True
        return False

    def _psynch(self, thread: Thread, call: SystemCall, mutex: int, kind: str, how: str) -> Wait:
        """The kernel's argument names the mutex; a PAL critical section has it inside, a minipal_mutex is it."""
        wait = Wait(thread, call, kind, call.arguments[0])
        memory = self._process.memory
        for row in self._pal:
            state = self._critical_section(mutex - row.mutex, row)
            if state is not None:
                wait.lock = self._remember(state)
                wait.is_crst, wait.kind = self._is_crst(state), "mutex"
                wait.grade, wait.how = (
                    "proved",
                    f"{how} 0x{mutex:x} lies in the critical section at 0x{state.address:x}",
                )
                return wait
        if kind == "mutex":
            found = crst.pthread_mutex(memory, mutex, "apple", "macos")
            if found is not None:
                wait.lock = self._remember(found)
                wait.is_crst = self._is_crst(found)
                wait.grade, wait.how = "proved", f"{how} 0x{mutex:x}"
        return wait


def register_candidates(
    process: Process, threads: Sequence[Thread], deep: bool
) -> Iterator[Tuple[Thread, int, str, int]]:
    """(thread, frame index, where, value) that may point at an object: frame 0's registers, then with `deep` the
    callee-saved registers of the outer frames of native code, then stack words."""
    arch = process.arch
    for thread in threads:
        for name in arch.general:
            value = thread.registers.get(name, 0)
            if value > 0xFFFF and not value & 7:
                yield thread, 0, name, value
    if not deep:
        return
    for thread in threads:
        for frame in thread.frames()[1:8]:
            if frame.managed or frame.trust not in ("cfi", "unwind-info"):
                continue
            for name in arch.callee_saved:
                value = frame.register(name) or 0
                if value > 0xFFFF and not value & 7:
                    yield thread, frame.index, name, value
    for thread in threads:
        sp = thread.registers.get(arch.sp)
        words = _stack_words(process, sp) if sp else ()
        for position, value in enumerate(words):
            if value > 0xFFFF and not value & 7:
                yield thread, 0, f"[{arch.sp}+0x{8 * position:x}]", value


def _stack_words(process: Process, sp: int) -> Sequence[int]:
    size = min(limits.STACK_SCAN_BYTES, 0x400)
    while size >= 64:
        words = read_words(process.memory, sp, size // 8)
        if words is not None:
            return words
        size //= 2
    return ()
