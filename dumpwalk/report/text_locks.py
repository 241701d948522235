"""Who holds each lock and who waits for it."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk.report.model import Finding, Lock, Report, Thread, Waiter
from dumpwalk.report.names import frame_chain, lock_name, plural, ranges, thread_label, words
from dumpwalk.report.text_page import INDENT, Page

LOCKS, GROUPS = 8, 6
"""Locks in the report, and groups of waiters of each; `dumpwalk locks` has them all."""
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
    if implementation in (kind, "") or lock.kind == "pthread":
        what = implementation or kind
    held = {True: "locked", False: "free", None: "state not known"}[lock.locked]
    again = f", entered {lock.recursion} times" if lock.recursion and lock.recursion > 1 else ""
    order = f", level {lock.level}" if lock.level is not None and lock.level >= 0 else ""
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


def lock_tree(page: Page, lock: Lock, threads: Dict[int, Thread], most_groups: int, deep: bool = False) -> None:
    page.say(f"{page.name(lock_name(lock))}  at {lock.address}: {state(lock)}", INDENT, INDENT * 3)
    if deep and lock.words:
        for word in lock.words:
            page.say(word, INDENT + "|  memory     ")
    if deep and lock.note:
        page.say(page.name(lock.note), INDENT + "|  note       ")
    who, grade, thread = owner(lock, threads)
    groups = waiter_groups(lock, threads)
    shown = groups[:most_groups]
    _branch(page, not shown, "held by", who, grade, thread)
    for number, (example, group) in enumerate(shown):
        last = number == len(shown) - 1 and len(groups) == len(shown)
        numbers = ranges((w.thread for w in group), most=12)
        _branch(page, last, f"wait {len(group):,}", numbers, group[0].grade, example, group[0].how if deep else None)
    if len(groups) > len(shown):
        rest = groups[len(shown) :]
        text = f"{plural(sum(len(g) for _, g in rest), 'thread')} more, with {plural(len(rest), 'other stack')}"
        page.say(text, INDENT + "'- wait ")


def _branch(page: Page, last: bool, label: str, who: str, grade: str, thread: Optional[Thread],
            how: Optional[str] = None) -> None:  # fmt: skip
    head = f"{INDENT}{chr(39) if last else '|'}- {label:<10}"
    below = f"{INDENT}{' ' if last else '|'}  " + " " * 10
    graded = f" [{grade}]" if grade else ""
    page.say(who + graded + (f": {how}" if how else ""), head, below)
    if thread is not None and thread.frames:
        page.chain(frame_chain(thread.frames, CHAIN), below)


def who_waits(page: Page, report: Report, finding: Optional[Finding]) -> None:
    """The lock tree of the report: locks somebody waits for, or that the finding tells of."""
    mine = set(finding.locks) if finding else set()
    telling = [lock for lock in ordered(report, finding) if lock.waiters or lock.address in mine]
    if not telling:
        return
    page.heading("Who waits")
    threads = by_index(report.threads)
    for lock in telling[:LOCKS]:
        lock_tree(page, lock, threads, GROUPS)
    if len(telling) > LOCKS:
        page.say(f"{plural(len(telling) - LOCKS, 'lock')} more with waiters: `dumpwalk locks CORE`")


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


def held_by_threads(page: Page, report: Report, named: Sequence[int]) -> None:
    """What each of these threads holds; where all are asked for, those that hold something."""
    threads = by_index(report.threads)
    every = len(named) == len(report.threads) and len(named) > 1
    shown = 0
    for index in named:
        mine = [lock for lock in ordered(report, None) if any(o.thread == index for o in lock.owners)]
        if not mine and every:
            continue
        if shown:
            page.blank()
        shown += 1
        page.raw(page.style(f"{thread_label(threads[index])} holds {plural(len(mine), 'lock')}", bold=True))
        for lock in mine:
            lock_tree(page, lock, threads, most_groups=1_000, deep=True)
    if not shown:
        page.say("No thread was found to hold a lock.")
    entry = next((c for c in report.coverage if c.area == "held-locks"), None)
    if entry is not None:
        page.blank()
        page.say(f"{entry.status}: {entry.why}")
