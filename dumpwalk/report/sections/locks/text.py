"""Who holds each lock and who waits for it."""

from __future__ import annotations

from functools import partial
from typing import Dict, Optional, Sequence, Set

from dumpwalk.report.model import Finding, Lock, Report, Thread
from dumpwalk.report.names import frame_chain, lock_name, plural, several_threads, thread_label
from dumpwalk.report.section import TextPart
from dumpwalk.report.sections.findings.phrases import main_finding
from dumpwalk.report.sections.locks.phrases import CHAIN, by_index, ordered, owner, state, waiter_groups
from dumpwalk.report.text_page import INDENT, Page

SHORT_CHAIN = 3
"""Frames of each stack in the short report."""
SHORT_LOCKS = 3
"""Locks in the short report where the finding tells of none."""
LOCKS, GROUPS = 8, 6
"""Locks in the report, and groups of waiters of each; `dumpwalk locks` has them all."""


def lock_tree(
    page: Page,
    lock: Lock,
    threads: Dict[int, Thread],
    most_groups: int,
    deep: bool = False,
    frames: int = CHAIN,
    shown_stacks: Optional[Set[int]] = None,
) -> None:
    """`shown_stacks`: threads whose stacks stand above, and which are not told again; those of this lock are added."""
    told = set() if shown_stacks is None else shown_stacks
    page.say(f"{page.name(lock_name(lock))}  at {lock.address}: {state(lock)}", INDENT, INDENT * 3)
    if deep and lock.words:
        for word in lock.words:
            page.say(word, INDENT + "|  memory     ")
    if deep and lock.note:
        page.say(page.name(lock.note), INDENT + "|  note       ")
    who, grade, thread = owner(lock, threads)
    groups = waiter_groups(lock, threads)
    shown = groups[:most_groups]
    _branch(page, not shown, "held by", who, grade, _new(thread, told), None, frames)
    for number, (example, group) in enumerate(shown):
        last = number == len(shown) - 1 and len(groups) == len(shown)
        members = [threads[w.thread] for w in group if w.thread in threads]
        _branch(
            page,
            last,
            f"wait {len(group):,}",
            several_threads(members, most=12),
            group[0].grade,
            _new(example, told),
            group[0].how if deep else None,
            frames,
        )
    if len(groups) > len(shown):
        rest = groups[len(shown) :]
        text = f"{plural(sum(len(g) for _, g in rest), 'thread')} more, with {plural(len(rest), 'other stack')}"
        page.say(text, INDENT + "'- wait ")


def _new(thread: Optional[Thread], told: Set[int]) -> Optional[Thread]:
    """The thread, if its stack has not been told yet."""
    if thread is None or thread.index in told:
        return None
    told.add(thread.index)
    return thread


def _branch(page: Page, last: bool, label: str, who: str, grade: str, thread: Optional[Thread],
            how: Optional[str], frames: int) -> None:  # fmt: skip
    head = f"{INDENT}{chr(39) if last else '|'}- {label:<10}"
    below = f"{INDENT}{' ' if last else '|'}  " + " " * 10
    graded = f" [{grade}]" if grade else ""
    page.say(who + graded + (f": {how}" if how else ""), head, below)
    if thread is not None and thread.frames:
        page.chain(frame_chain(thread.frames, frames, brief=frames == SHORT_CHAIN), below)


def who_waits(page: Page, report: Report, finding: Optional[Finding], frames: int = CHAIN) -> None:
    """The lock tree of the report: locks somebody waits for, or that the finding tells of; in the short report, where it tells of
    some, these alone. Each stack once."""
    mine = set(finding.locks) if finding else set()
    telling = [lock for lock in ordered(report, finding) if lock.waiters or lock.address in mine]
    most = LOCKS
    if frames == SHORT_CHAIN:
        most = min(LOCKS, sum(1 for lock in telling if lock.address in mine) or SHORT_LOCKS)
    if not telling:
        return
    page.heading("Who holds and who waits")
    threads = by_index(report.threads)
    shown: Set[int] = set()
    for lock in telling[:most]:
        lock_tree(page, lock, threads, GROUPS, frames=frames, shown_stacks=shown)
    if len(telling) > most:
        page.say(f"{plural(len(telling) - most, 'more lock')} with waiters: `dumpwalk locks CORE`")


def in_full(page: Page, report: Report, held_by: Sequence[int] = ()) -> None:
    """Every lock that was found: state, memory words, owner, all waiters. With `held_by` those that these threads hold."""
    if held_by:
        _held_by(page, report, held_by)
        return
    threads = by_index(report.threads)
    locks = ordered(report, main_finding(report))
    page.raw(page.style(plural(len(locks), "lock"), bold=True))
    if not locks:
        page.say("No thread was found waiting for a lock, and no lock of the runtime was looked at.")
    for lock in locks:
        page.blank()
        lock_tree(page, lock, threads, most_groups=1_000, deep=True)


def _held_by(page: Page, report: Report, named: Sequence[int]) -> None:
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


TEXT = (TextPart(rank=30, write=who_waits, short=partial(who_waits, frames=SHORT_CHAIN)),)
IN_FULL = in_full
