"""A suspension of all managed threads that is under way (a garbage collection that cannot start, or a debugger's).

Facts: the runtime names the suspending thread (g_pSuspensionThread, contract global GCThread) while it suspends; a thread
object with m_fPreemptiveGCDisabled set is in cooperative mode, and the suspension has to wait for it
(src/coreclr/vm/threadsuspend.cpp). Those who wait for the end of it sit in WaitUntilGCComplete or
RareDisablePreemptiveGC, which needs symbols to see; without them, in a condition wait on one word that two or more
managed threads in preemptive mode share.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from dumpwalk.analysis.facts import Answers, Suspension
from dumpwalk.core.grade import Grade
from dumpwalk.core.names import plain
from dumpwalk.core.process import Thread

_SUSPENDING = ("ThreadSuspend::SuspendEE", "ThreadSuspend::SuspendRuntime", "ThreadSuspend::SuspendAllThreads")
_WAITING = (
    "Thread::RareDisablePreemptiveGC",
    "Thread::WaitSuspendEventsHelper",
    "WKS::GCHeap::WaitUntilGCComplete",
    "SVR::GCHeap::WaitUntilGCComplete",
    "Thread::RareEnablePreemptiveGC",
    "ThreadSuspend::WaitSuspendEventsHelper",
)


def find_suspension(facts: Answers) -> Optional[Suspension]:
    """The suspension, or None when nothing says that one is under way."""
    suspender, how, grade = _suspender(facts)
    if suspender is None:
        return None
    blocking = []
    for record in facts.managed.threads if facts.managed else ():
        thread = facts.process.thread_by_tid(record.os_tid) if record.os_tid else None
        if thread is not None and record.cooperative and thread is not suspender:
            blocking.append(thread)
    return Suspension(suspender, how, grade, tuple(blocking), tuple(_waiting(facts, suspender, blocking)))


def _suspender(facts: Answers) -> tuple[Optional[Thread], str, Grade]:
    managed = facts.managed
    if managed is not None and managed.suspending:
        for record in managed.threads:
            if record.address == managed.suspending and record.os_tid:
                thread = facts.process.thread_by_tid(record.os_tid)
                if thread is not None:
                    return (
                        thread,
                        f"g_pSuspensionThread is 0x{record.address:x}, the thread object of tid {record.os_tid}",
                        "proved",
                    )
    for thread in facts.process.threads:
        for frame in thread.frames()[:24]:
            if frame.function and plain(frame.function) in _SUSPENDING:
                return thread, f"{plain(frame.function)} is on its stack", "corroborated"
    return None, "", "unresolved"


def _waiting(facts: Answers, suspender: Thread, holding_up: Sequence[Thread]) -> List[Thread]:
    by_word: Dict[int, List[Thread]] = {}
    found: List[Thread] = []
    blocking = {t.index for t in holding_up}
    managed = {r.os_tid & 0xFFFFFFFF for r in facts.managed.threads if r.os_tid} if facts.managed else set()
    for wait in facts.waits:
        thread = wait.thread
        if thread is suspender or thread.index in blocking or wait.lock is not None:
            continue
        named = [plain(f.function) for f in thread.frames()[:16] if f.function]
        if any(n in _WAITING for n in named):
            found.append(thread)
        elif (
            wait.kind in ("condition", "futex")
            and wait.word is not None
            and (facts.process.own_tid(thread) or 0) & 0xFFFFFFFF in managed
        ):
            by_word.setdefault(wait.word & ~0x7, []).append(thread)
    for threads in by_word.values():
        if len(threads) > 1:
            found.extend(threads)
    return sorted(found, key=lambda t: t.index)
