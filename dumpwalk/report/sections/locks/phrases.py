"""Locks in words: in which order, in what state, who holds each and who waits."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk.report.model import Finding, Lock, Report, Thread, Waiter
from dumpwalk.report.names import frame_chain, lock_name, plural, ranges, thread_label, words

CHAIN = 6
"""Frames named beside an owner or a group of waiters."""


def ordered(report: Report, finding: Optional[Finding]) -> List[Lock]:
    """The finding's locks first, then the ones with most waiters; address decides between equals."""
    mine = {address: place for place, address in enumerate(finding.locks)} if finding else {}

    def rank(lock: Lock) -> Tuple[int, int, int, str]:
        return (mine.get(lock.address, len(mine)), -len(lock.waiters), len(lock.address), lock.address)

    return sorted(report.locks, key=rank)


def waiter_groups(lock: Lock, threads: Dict[int, Thread]) -> List[Tuple[Thread, List[Waiter]]]:
    """Waiters with the same grade and innermost frames together, the largest group first."""
    groups: Dict[Tuple[Tuple[str, ...], str], List[Waiter]] = {}
    named: Dict[int, Tuple[str, ...]] = {}
    for waiter in lock.waiters:
        thread = threads.get(waiter.thread)
        if thread is not None:
            chain = named.get(id(thread.frames))
            if chain is None:
                chain = named[id(thread.frames)] = tuple(frame_chain(thread.frames, CHAIN, count_rest=False))
            groups.setdefault((chain, waiter.grade), []).append(waiter)
    rows = sorted(groups.values(), key=lambda g: (-len(g), g[0].thread))
    return [(threads[group[0].thread], group) for group in rows]


def state(lock: Lock) -> str:
    kind = words(lock.kind)
    implementation = words(lock.implementation)
    what = f"{kind} on {'an' if implementation[:1] in 'AEIOaeio' else 'a'} {implementation}"
    if kind in implementation or not implementation or lock.kind == "pthread":
        what = implementation or kind
    elif lock_name(lock).rsplit(".", 1)[-1] == implementation.rsplit(".", 1)[-1]:
        what = kind  # it is called by its type
    held = {True: "locked", False: "free", None: "state not known"}[lock.locked]
    again = f", entered {lock.recursion} times" if lock.recursion and lock.recursion > 1 else ""
    order = (
        f", level {lock.level} of the runtime's order of locks" if lock.level is not None and lock.level >= 0 else ""
    )
    return f"{what}{order}, {held}{again}"


def owner(lock: Lock, threads: Dict[int, Thread]) -> Tuple[str, str, Optional[Thread]]:
    """(who, grade, thread)."""
    if lock.owner is None:
        return ("nobody" if lock.locked is False else "not known", "", None)
    thread = threads.get(lock.owner.thread) if lock.owner.thread is not None else None
    if thread is None and lock.owner.tid is None:
        number = lock.owners[0].managed_id if lock.owners else None
        gone = "a thread that is gone" if number is None else f"managed thread {number}, which is gone"
        return (gone, lock.owner.grade, None)
    if thread is None:
        return (f"tid {lock.owner.tid}, which is none of the threads in this dump", lock.owner.grade, None)
    more = [threads[o.thread] for o in lock.owners[1:] if o.thread in threads]
    also = f" and {plural(len(more), 'more owner')}: {ranges(t.index for t in more)}" if more else ""
    return (thread_label(thread) + also, lock.owner.grade, thread)


def by_index(threads: Sequence[Thread]) -> Dict[int, Thread]:
    return {thread.index: thread for thread in threads}


def threads_named(report: Report, named: Sequence[str]) -> List[int]:
    """The numbers of the threads that are named by number, else by tid; all of them for `all`."""
    if "all" in named:
        return [thread.index for thread in report.threads]
    numbers = {int(word) for word in named if word.isdigit()}
    by_index = {t.index for t in report.threads if t.index in numbers}
    by_tid = {t.index for t in report.threads if t.tid in numbers - by_index}
    return sorted(by_index | by_tid)
