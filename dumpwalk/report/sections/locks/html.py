"""Locks of the page: who holds each, who waits, with links to the stacks."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.model import Finding, Report, Thread
from dumpwalk.report.names import frame_chain, lock_name, several_threads
from dumpwalk.report.section import HtmlPart
from dumpwalk.report.sections.locks.phrases import CHAIN, by_index, ordered, owner, state, waiter_groups


@dataclass(frozen=True)
class Party:
    """The owner, or waiters that share a stack."""

    role: str
    who: str
    count: int
    grade: str
    how: str
    chain: Tuple[str, ...]
    anchor: str


@dataclass(frozen=True)
class LockView:
    anchor: str
    name: str
    address: str
    state: str
    note: str
    words: Tuple[str, ...]
    waiters: int
    telling: bool
    """Somebody waits for it, or the finding tells of it."""
    parties: Tuple[Party, ...]


def lock_views(
    report: Report, finding: Optional[Finding], anchors: Dict[str, str], stacks: Dict[int, str]
) -> List[LockView]:
    """All locks, the finding's first. `anchors` by address; `stacks`: id of the stack of a thread's group."""
    threads = by_index(report.threads)
    mine = set(finding.locks) if finding else set()
    views = []
    for lock in ordered(report, finding):
        who, grade, thread = owner(lock, threads)
        parties = [Party("held by", who, 1, grade, "", _chain(thread), stacks.get(thread.index, "") if thread else "")]
        for example, group in waiter_groups(lock, threads):
            numbers = several_threads([threads[w.thread] for w in group if w.thread in threads])
            parties.append(
                Party("waits" if len(group) == 1 else "wait", numbers, len(group), group[0].grade, group[0].how or "",
                      _chain(example), stacks.get(example.index, ""))
            )  # fmt: skip
        views.append(
            LockView(
                anchors[lock.address], lock_name(lock), lock.address, state(lock), lock.note or "", lock.words,
                len(lock.waiters), bool(lock.waiters) or lock.address in mine, tuple(parties),
            )
        )  # fmt: skip
    return views


def _chain(thread: Optional[Thread]) -> Tuple[str, ...]:
    return tuple(frame_chain(thread.frames, CHAIN)) if thread is not None else ()


HTML = (
    HtmlPart(
        rank=30,
        id="locks",
        template="locks/page.html.j2",
        view=lambda core: core.locks,
        title=lambda locks: "Who holds and who waits" if locks else "",
    ),
)
