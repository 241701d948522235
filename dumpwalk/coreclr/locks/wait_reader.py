"""What each thread waits for in its innermost layer: from its system call, the words of the lock it names, and the frames above.

A register is a candidate, never a fact by itself: the lock's own memory has to agree (an owner that is a thread of this
process, a count of waiters, a kind that exists, the Crst's flags word). Frame 0's arguments come first; callee-saved
registers of outer frames are used where those do not lead to a lock, since a debugger without the system libraries
recovers some of them wrongly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Optional, Sequence, Tuple

from dumpwalk.core.process import Process, Thread
from dumpwalk.coreclr.layouts import Layout
from dumpwalk.coreclr.locks import crst
from dumpwalk.locks.mutex_facts import is_mutex
from dumpwalk.locks.state import LockState
from dumpwalk.locks.syscalls import SystemCall, is_condition_wait, locks_mutexes_by, system_call
from dumpwalk.locks.waits import Wait

_SIGNAL_WORDS = (0x28, 0x2C, 0x20, 0x24, 0x4, 0x8)
"""Where in a pthread_cond_t its futex words lie: `__g_signals` of glibc 2.25 and later (+0x28, +0x2C), older ones (+4)."""


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
            how = f"futex wait on {argument} = 0x{word:x}, the mutex's own word ({why})"
            return self._proved(wait, state, how)
        found = self._critical_section_at_word(word)
        if found is None:
            return wait
        part = "mutex" if word < (found.condition or 0) else "condition variable"
        how = f"futex wait on {argument} = 0x{word:x}, inside the {part} of the critical section at 0x{found.address:x}"
        return self._proved(wait, found, how)

    def _proved(self, wait: Wait, lock: LockState, how: str, kind: str = "mutex") -> Wait:
        """The same wait, for a lock that memory confirms."""
        return replace(wait, kind=kind, lock=lock, is_crst=self._known[lock.address][1], grade="proved", how=how)

    def _mutex_at_word(
        self, thread: Thread, call: SystemCall, word: int, expected: int
    ) -> Tuple[Optional[LockState], str]:
        process = self._process
        if not locks_mutexes_by(call):
            return None, ""
        for libc, at, fits in (
            ("glibc", word, expected & 0xFFFFFFFF == 2),
            ("musl", word - 4, bool(expected & 0x80000000)),
        ):
            if not fits or self._libc not in (None, libc):
                continue
            state = crst.pthread_mutex(process.memory, at, libc, process.os)
            if state is None:
                continue
            state, flags = self._sized(state)
            believed, why = is_mutex(process, thread, call, state, flags)
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
        return replace(state, size=size)

    def _remember(self, state: LockState) -> LockState:
        known = self._known.get(state.address)
        if known is not None:
            return known[0]
        self._known[state.address] = self._sized(state)
        return self._known[state.address][0]

    def _sized(self, state: LockState) -> Tuple[LockState, bool]:
        return crst.sized(self._process.memory, self._layouts, state)

    def _psynch(self, thread: Thread, call: SystemCall, mutex: int, kind: str, how: str) -> Wait:
        """The kernel's argument names the mutex; a PAL critical section has it inside, a minipal_mutex is it."""
        wait = Wait(thread, call, kind, call.arguments[0])
        memory = self._process.memory
        for row in self._pal:
            state = self._critical_section(mutex - row.mutex, row)
            if state is not None:
                told = f"{how} 0x{mutex:x} lies in the critical section at 0x{state.address:x}"
                return self._proved(wait, self._remember(state), told)
        if kind == "mutex":
            found = crst.pthread_mutex(memory, mutex, "apple", "macos")
            if found is not None:
                return self._proved(wait, self._remember(found), f"{how} 0x{mutex:x}", kind)
        return wait
