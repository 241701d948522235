"""Locks in Markdown: a table of them, and one of their waiters."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.markdown_escape import code, more, prose, table
from dumpwalk.report.model import Finding, Report
from dumpwalk.report.names import frame_chain, lock_name, several_threads
from dumpwalk.report.section import MarkdownPart
from dumpwalk.report.sections.locks.phrases import by_index, ordered, owner, state, waiter_groups

LOCKS, WAITER_ROWS = 16, 20


def locks(report: Report, finding: Optional[Finding]) -> str:
    mine = set(finding.locks) if finding else set()
    chosen = [k for k in ordered(report, finding) if k.waiters or k.address in mine]
    if not chosen:
        return ""
    threads = by_index(report.threads)
    rows = []
    for lock in chosen[:LOCKS]:
        who, grade, _ = owner(lock, threads)
        holder = who + (f" ({grade})" if grade else "")
        what = state(lock)
        rows.append((code(lock_name(lock)), code(lock.address), prose(what), prose(holder), f"{len(lock.waiters):,}"))
    header = ("lock", "address", "what it is", "held by", "waiters")
    return "### Locks\n\n" + table(header, rows) + more(len(chosen), LOCKS, "lock")


def waiters(report: Report, finding: Optional[Finding]) -> str:
    threads = by_index(report.threads)
    rows = []
    for lock in ordered(report, finding):
        for example, group in waiter_groups(lock, threads):
            names = frame_chain(example.frames, 6)
            members = [threads[w.thread] for w in group if w.thread in threads]
            numbers = prose(several_threads(members, most=12).partition(" ")[2])
            stack = code(" <- ".join(names)) if names else ""
            rows.append((code(lock_name(lock)), f"{len(group):,}", numbers, group[0].grade, stack))
    if not rows:
        return ""
    header = ("waits for", "threads", "which", "grade", "stack, innermost first")
    return "### Waiters\n\n" + table(header, rows[:WAITER_ROWS]) + more(len(rows), WAITER_ROWS, "group")


MARKDOWN = (
    MarkdownPart("locks", rank=30, worth=120, write=locks),
    MarkdownPart("waiters", rank=32, worth=90, write=waiters),
)
