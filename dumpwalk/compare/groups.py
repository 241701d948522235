"""Who waits for whom over both looks, and whether those that others depend on moved."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set, Tuple

from dumpwalk.claims.model import Finding
from dumpwalk.compare.model import Group, LockMotion, Motion, Status, ThreadMotion
from dumpwalk.core.names import ranges
from dumpwalk.report.model import Lock, Report, Thread

ENDS_BY_ITSELF = ("timed-wait", "sleep")
OUTSIDE = (
    "socket", "pipe", "child", "file", "terminal", "name-resolution", "system-call",
    "read", "write", "poll", "accept", "wait", "signal", "syscall",
)  # fmt: skip
"""Kinds of Wait that something beside the process's own threads ends."""


class Second:
    """The second look with what is asked of it again and again."""

    def __init__(self, report: Report, threads: Sequence[ThreadMotion], locks: Sequence[LockMotion]) -> None:
        self.report = report
        self.threads: Dict[int, Thread] = {t.index: t for t in report.threads}
        self.motion: Dict[int, ThreadMotion] = {m.thread: m for m in threads if m.thread is not None}
        self.locks: Dict[str, Lock] = {lock.address: lock for lock in report.locks}
        self.moves: Dict[str, LockMotion] = {m.address: m for m in locks}

    def is_own(self, motion: ThreadMotion) -> bool:
        """Not a service thread of the runtime's or the framework's."""
        return motion.thread is not None and self.threads[motion.thread].role is None

    def waits_for(self, thread: int) -> Optional[LockMotion]:
        """The lock for which a thread waits in both looks, with the same owner."""
        wait = self.threads[thread].wait if thread in self.threads else None
        moved = self.moves.get(wait.lock) if wait is not None and wait.lock is not None else None
        return moved if moved is not None and moved.motion == "held" and thread in moved.waiting else None


def groups(first: Report, second: Second) -> List[Group]:
    """Findings of a hang that both looks have, then the owners at the end of each chain of held locks."""
    found = [_of_finding(first, second, f) for f in second.report.findings if f.status == "hang"]
    told = {address for group in found for address in group.locks}
    roots: Dict[int, Set[str]] = {}
    for moved in second.moves.values():
        if moved.motion == "held" and moved.waiting and moved.owner is not None and moved.address not in told:
            root = _root(second, moved.owner)
            if root is not None:
                roots.setdefault(root, set()).add(moved.address)
    return [*found, *(_of_owner(second, root, sorted(locks)) for root, locks in sorted(roots.items()))]


def _root(second: Second, owner: int) -> Optional[int]:
    """Follow the waits of owners to one that waits for no lock of both looks; None where the way is a circle."""
    seen = set()
    while owner not in seen:
        seen.add(owner)
        held = second.waits_for(owner)
        if held is None or held.owner is None:
            return owner
        owner = held.owner
    return None


def _of_finding(first: Report, second: Second, finding: Finding) -> Group:
    threads = tuple(sorted({a.thread for a in finding.actors}))
    like = [
        f for f in first.findings if f.kind == finding.kind and f.status == "hang" and f.signature == finding.signature
    ]
    facts = [f"The second look proves it alone: {finding.title}"]
    facts.append("The first look has the same finding." if like else "The first look has it not, or not yet.")
    facts += [_told(second, t) for t in threads[:_SHOWN]]
    return Group("stuck", finding.title, threads, finding.locks, tuple(facts), finding.signature)


_SHOWN = 8


def _of_owner(second: Second, root: int, locks: Sequence[str]) -> Group:
    waiting = sorted({t for address in locks for t in second.moves[address].waiting})
    names = ", ".join(second.moves[address].label for address in locks[:_SHOWN])
    facts = [f"{names}: held by the same owner in both looks, and {_count(waiting)} it in both."]
    facts.append(_told(second, root))
    status, why = _judged(second, root, locks)
    facts.append(why)
    title = f"Thread {root} holds what {_count(waiting)}."
    return Group(status, title, tuple(sorted({root, *waiting})), tuple(locks), tuple(facts))


def _count(threads: Sequence[int]) -> str:
    return f"thread {threads[0]} waits for" if len(threads) == 1 else f"threads {ranges(threads)} wait for"


def _told(second: Second, thread: int) -> str:
    motion = second.motion.get(thread)
    return f"Thread {thread}: {motion.what}." if motion is not None else f"Thread {thread} is not in the second look."


def _judged(second: Second, root: int, locks: Sequence[str]) -> Tuple[Status, str]:
    motion: Motion = second.motion[root].motion if root in second.motion else "unknown"
    thread = second.threads.get(root)
    wait = thread.wait if thread is not None else None
    if motion == "moved":
        return "moving", f"Thread {root} moved, so it is at work while it holds the lock: slow, or busy for long."
    if motion == "turning":
        loops = (f for f in second.report.findings if f.status == "hang")
        if any(a.thread == root and a.role == "spinner" for f in loops for a in f.actors):
            return "stuck", f"Thread {root} turns in a loop that is proved to have no end."
        return "unknown", f"Thread {root} runs within one function: a long loop and an endless one look the same."
    if motion != "still":
        return "unknown", f"Whether thread {root} moved cannot be told."
    if wait is None or thread is None or thread.state != "waiting":
        return (
            "unknown",
            f"Thread {root} did not move, but it waits for nothing: it may not have been given a processor.",
        )
    if wait.timed or wait.kind in ENDS_BY_ITSELF:
        return "unknown", f"Thread {root} sleeps for a time that ends by itself: it may go on after it."
    if wait.kind in OUTSIDE:
        return "unknown", f"Thread {root} waits for something outside the process, which may still come."
    if second.motion[root].ran is False:
        return "stuck", f"Thread {root}, on which the others depend, did not run at all between the looks."
    if any(second.moves[address].starving for address in locks):
        return (
            "stuck",
            f"The lock's own clock says that its waiters have starved since before the first look; {_STILL.format(root)}",
        )
    others = [m for m in second.motion.values() if m.motion in ("moved", "turning", "new") and second.is_own(m)]
    if others:
        return (
            "unknown",
            f"Thread {root} waits for a signal of another thread, and {_moved(others)}, which may still give it.",
        )
    return "stuck", f"{_STILL.format(root)}, and no other thread of the program's own did."


_STILL = "Thread {}, on which the others depend, did not move"


def _moved(others: Sequence[ThreadMotion]) -> str:
    numbers = [m.thread for m in others if m.thread is not None]
    return f"thread {numbers[0]} moved" if len(numbers) == 1 else f"threads {ranges(numbers)} moved"
