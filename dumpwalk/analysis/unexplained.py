"""Waits that may be part of a hang although nothing proves it: "nothing stuck" is not said over them.

A wait is settled where a lock with a known owner is behind it (the graph tells on), where it ends by itself, where something
outside is waited for (a descriptor, a signal, a time), or where a recogniser explained it: nobody owns a semaphore, a condition
variable, an idle worker's queue. All others are here, grouped by what is known of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Dict, Final, List, Optional, Set, Tuple

from dumpwalk.analysis import owner_doubts
from dumpwalk.analysis.facts import Answers, Unsettled
from dumpwalk.core.libc import libc_of
from dumpwalk.core.memory import read_words
from dumpwalk.core.names import plain, plural
from dumpwalk.core.process import Process, Thread
from dumpwalk.core.signals import is_fault
from dumpwalk.locks.lock_frames import LIBC_MODULES
from dumpwalk.locks.rwlocks import readers_holding
from dumpwalk.locks.state import LockState
from dumpwalk.locks.syscalls import futex_command
from dumpwalk.locks.waits import Wait

OWNER_UNKNOWN: Final = "owner-unknown"
UNKNOWN_KIND: Final = "unexplained-wait"
NOT_CAPTURED: Final = "not-captured"
OTHER_RUNTIME: Final = "other-runtime"
_FUTEX_KINDS = ("futex", "condition")
_FOREIGN_LOCKS = {
    "file-lock": "a lock of a file, whose holder may be another process",
    "sysv-semaphore": "a System V semaphore, which records no owner",
    "lock": "a pthread_rwlock or a lock of the system that records no owner here",
    "ulock": "a word in __ulock_wait (os_unfair_lock, a join, a queue of libdispatch)",
    "futex-many": "several futex words at once",
}


def unsettled(facts: Answers) -> List[Unsettled]:
    """All of them, those with a lock first. Linear in the number of waits."""
    groups: Dict[Tuple[str, str], Tuple[Unsettled, List[Wait]]] = {}
    owned = {lock.state.address for lock in facts.locks if lock.holders}
    absent = {k.state.address: owner_doubts.unknowns(facts, k) for k in facts.locks if owner_doubts.absent(facts, k)}
    glibc = libc_of(facts.process) != "musl"
    for wait in facts.waits:
        found = _of_other_runtime(facts, wait) or _of_absent(facts, wait, absent) or _of(facts, wait, owned, glibc)
        if found is not None:
            groups.setdefault((found.reason, found.what), (found, []))[1].append(wait)
    order = (OTHER_RUNTIME, OWNER_UNKNOWN, UNKNOWN_KIND, NOT_CAPTURED)
    return sorted(
        (replace(group, waits=tuple(waits)) for group, waits in groups.values()),
        key=lambda g: (order.index(g.reason), g.waits[0].thread.index),
    )


def sentence_of(group: Unsettled) -> str:
    """`4 threads wait in pthread_rwlock_wrlock: a reader-writer lock at 0x..., held by 2 readers; readers are not recorded`."""
    threads = plural(len(group.waits), "thread waits", "threads wait")
    function = libc_function([w.thread for w in group.waits])
    return f"{threads} in {function}: {group.what}" if function else f"{threads} for {group.what}"


def ends_by_itself(process: Process, wait: Wait) -> bool:
    """A futex call with a time limit that the dump shows: its fourth argument leads to a timespec. A pointer to nothing that
    was captured is no limit: stacks, where such a thing lies, are in every dump."""
    if wait.call.kind != "futex" or len(wait.call.arguments) < 4 or not wait.call.arguments[3]:
        return False
    limit = read_words(process.memory, wait.call.arguments[3], 2)
    return limit is not None and limit[0] < 1 << 40 and limit[1] < 1_000_000_000


def _of_other_runtime(facts: Answers, wait: Wait) -> Optional[Unsettled]:
    """In a process of another runtime: what that runtime's own locks are made of, semaphores, conditions, words of its own."""
    if facts.other is None or not wait.call.inside or wait.lock is not None or ends_by_itself(facts.process, wait):
        return None
    if wait.call.kind != "futex" or (wait.target is not None and wait.target.kind != "event"):
        return None
    if facts.other.words_only and (wait.explained or wait.target is not None or not _is_captured(facts, wait)):
        return None
    return Unsettled(OTHER_RUNTIME, f"something of {facts.other.name}'s own, which dumpwalk does not read")


def _is_captured(facts: Answers, wait: Wait) -> bool:
    return wait.word is not None and facts.process.memory.read(wait.word, 4) is not None


def _of(facts: Answers, wait: Wait, owned: Set[int], glibc: bool) -> Optional[Unsettled]:
    if wait.call.inside is None or wait.explained or ends_by_itself(facts.process, wait):
        return None
    if wait.lock is not None:
        return _of_lock(wait.lock) if wait.lock.address not in owned else None
    if wait.target is not None or not wait.call.inside:
        return None
    if wait.kind in _FOREIGN_LOCKS:
        return Unsettled(OWNER_UNKNOWN, _FOREIGN_LOCKS[wait.kind])
    if wait.call.kind != "futex" or wait.kind not in _FUTEX_KINDS or wait.word is None:
        return None
    if not _is_captured(facts, wait):
        return Unsettled(NOT_CAPTURED, "a futex word that is not in the dump")
    if glibc and _protocol_of_locks(facts, wait):
        return Unsettled(OWNER_UNKNOWN, "a lock that names no owner (libc's own, or a mutex that is damaged)")
    return Unsettled(
        UNKNOWN_KIND,
        "a word of no kind that the C library has (an atomic, a latch, a lock of another language's runtime)",
    )


def _of_absent(facts: Answers, wait: Wait, absent: Dict[int, List[str]]) -> Optional[Unsettled]:
    """A lock whose owner is no thread of the dump, where that does not show that the owner is gone."""
    doubts = absent.get(wait.lock.address) if wait.lock is not None else None
    if not doubts or wait.lock is None or ends_by_itself(facts.process, wait):
        return None
    return Unsettled(
        OWNER_UNKNOWN, f"a lock whose owner is no thread of the dump ({doubts[0].rstrip('.')})", lock=wait.lock
    )


def _of_lock(state: LockState) -> Optional[Unsettled]:
    if not state.locked:
        return None  # free: somebody was woken and has not run yet
    if state.owners_unknown is not None:
        name = state.name or f"{state.object_type or 'a lock'} at 0x{state.address:x}"
        return Unsettled(OWNER_UNKNOWN, f"{name}: {state.owners_unknown}", lock=state)
    if state.kind == "rwlock":
        readers = readers_holding(state)
        held = (
            f"held by {plural(readers, 'reader')}; readers are not recorded"
            if readers
            else "its writer is not recorded"
        )
        return Unsettled(OWNER_UNKNOWN, f"a reader-writer lock at 0x{state.address:x}, {held}", lock=state)
    if state.kind == "spinlock":
        return Unsettled(OWNER_UNKNOWN, f"a spin lock at 0x{state.address:x}; it records no owner", lock=state)
    return Unsettled(OWNER_UNKNOWN, f"a mutex at 0x{state.address:x} that records no owner", lock=state)


def _protocol_of_locks(facts: Answers, wait: Wait) -> bool:
    """FUTEX_WAIT for the value 2, which the word still has: glibc's low level locks (musl waits so on conditions)."""
    arguments = wait.call.arguments
    return (
        futex_command(wait.call) == 0
        and arguments[2] & 0xFFFFFFFF == 2
        and facts.process.memory.read(wait.word or 0, 4) == b"\2\0\0\0"
    )


def libc_function(threads: List[Thread]) -> Optional[str]:
    """The function of the C library that most of these threads called (`pthread_rwlock_wrlock`); None without names."""
    counts: Counter = Counter()
    for thread in threads[:64]:
        outermost = None
        for frame in thread.frames()[:8]:
            if frame.module is None or not frame.module.name.startswith(LIBC_MODULES):
                break
            if frame.function and frame.name_source == "symbol":
                outermost = plain(frame.function).split("@")[0].lstrip("_")
        if outermost and outermost != "syscall":
            counts[outermost] += 1
    return counts.most_common(1)[0][0] if counts else None


def unrecognised(facts: Answers) -> List[Thread]:
    """Threads of managed code in a wait that is for no lock, and that nothing recognised either."""
    if facts.around is None:
        return []
    core = facts.process.corefile
    crashed = core.crash_thread if core is not None and is_fault(core.os, core.crash_signal) else None
    suspended = facts.suspension is not None and facts.suspension.suspender is not None
    found = []
    for wait in facts.waits:
        if wait.call.inside is not True or wait.lock is not None or "managed-locks" in wait.areas:
            continue
        if crashed is not None and wait.thread is facts.process.thread_of_note(crashed):
            continue  # it stands in the system call by which it raised its own signal
        if facts.around.record(wait.thread) is None or (wait.explained and not _in_runtime(wait.thread)):
            continue
        if wait.target is not None and wait.target.kind != "event" or wait.call.kind == "yield":
            continue
        if suspended and wait.call.kind in ("futex", "sleep", "psynch-condition"):
            continue  # who comes back from native code, or suspends, waits for the suspension
        found.append(wait.thread)
    return found


def _in_runtime(thread: Thread) -> bool:
    """Below libc the runtime itself: then the native condition variable is only what the PAL sleeps on."""
    for frame in thread.frames()[:8]:
        if frame.module is not None and not frame.module.name.startswith(LIBC_MODULES):
            return "coreclr" in frame.module.name or not frame.module.name.endswith((".so", ".dylib"))
    return True
