"""Threads in text: groups of equal stacks in the report, every stack in full in `dumpwalk threads`."""

from __future__ import annotations

from typing import Dict, List, Optional, Pattern, Sequence, Set, Tuple, Union

from dumpwalk.report.escape import display_width
from dumpwalk.report.model import Finding, Frame, Group, Report, Thread
from dumpwalk.report.names import base_name, frame_chain, numbered, plural, ranges, thread_label
from dumpwalk.report.section import TextPart
from dumpwalk.report.sections.threads.phrases import (
    TRUSTED,
    describe,
    doubt,
    find_locks,
    involved_threads,
    line,
    select,
    where,
)
from dumpwalk.report.text_page import INDENT, Page

STATES = {"running": "run", "waiting": "wait", "unknown": "?"}
FOLDED = 3
"""Frames without a name in a row that are told in one line, each by its offset in the module."""
ROWS, NAMES, IDLE_NAMES = 24, 6, 4
"""Rows of the report's list of threads, and functions named for threads that matter and for others."""
Row = Tuple[Group, List[int], List[str], bool]


def rows(report: Report, involved: Set[int]) -> List[Row]:
    """(example, thread numbers, innermost functions) of groups that look the same here, the involved ones first.

    A thread that has nothing to do with the finding is told by one line.
    """
    found: Dict[Tuple[str, str, Tuple[str, ...], bool], List[Group]] = {}
    for group in report.groups:
        matters = group.state == "running" or not involved.isdisjoint(group.threads)
        names = frame_chain(group.frames, NAMES if matters else IDLE_NAMES, count_rest=False)
        found.setdefault((group.state, group.title, tuple(names), matters), []).append(group)
    merged = [
        (groups[0], sorted({index for group in groups for index in group.threads}), list(key[2]), key[3])
        for key, groups in found.items()
    ]
    merged.sort(key=lambda row: (not row[3], -len(row[1]), row[1][:1]))
    return merged


def groups(page: Page, report: Report, finding: Optional[Finding]) -> None:
    """What the threads do: those of the finding first, a few functions of each stack."""
    if not report.threads:
        return
    listed = rows(report, involved_threads(report, finding))
    page.heading(f"Threads  {len(report.threads):,}", "`dumpwalk threads CORE`: every stack in full")
    columns = max([len(f"{len(row[1]):,}") for row in listed[:ROWS]] or [1])
    by_index = {thread.index: thread for thread in report.threads}
    for group, threads, names, matters in listed[:ROWS]:
        head = f"{INDENT}{len(threads):>{columns},}  {STATES.get(group.state, group.state):<4}  "
        members = [by_index[index] for index in threads if index in by_index]
        who = numbered(members[0]) if len(members) == 1 else ranges(threads, most=10)
        title = f"{page.name(group.title)} [{who}]"
        if not matters:
            page.say(title + _as_fits(names, page.prose_width - display_width(head + title)), head)
            continue
        page.say(title, head)
        if names:
            page.chain(names, " " * len(head))
    if len(listed) > ROWS:
        rest = listed[ROWS:]
        left = plural(sum(len(row[1]) for row in rest), "thread")
        page.say(f"{left} more, with {plural(len(rest), 'other stack')}: `dumpwalk threads CORE`")


def _as_fits(names: Sequence[str], room: int) -> str:
    """`: f <- g`, as many of the names as there is room for."""
    for used in range(len(names), 0, -1):
        text = ": " + " <- ".join(names[:used])
        if display_width(text) <= room:
            return text
    return ""


def in_full(
    page: Page, report: Report, grep: Union[str, Pattern[str], None] = None, waiting_on: Optional[str] = None
) -> None:
    """Every stack in full, equal ones once; of the threads that were asked for. A bad pattern raises re.error."""
    chosen = select(report, grep, waiting_on)
    if waiting_on and not (chosen or find_locks(report, waiting_on)):
        names = "; ".join(f"{lock.address} {lock.name or ''}".strip() for lock in report.locks[:20])
        page.say(f"No lock of this dump is called {waiting_on!r}. Known: {names or 'none'}.", "")
    limited = grep is not None or waiting_on is not None
    of_all = f" of {len(report.threads):,}" if limited else ""
    page.raw(page.style(f"{plural(len(chosen), 'thread')}{of_all}", bold=True))
    stacks(page, report, chosen)


def stacks(page: Page, report: Report, chosen: Sequence[Thread]) -> None:
    """Every chosen thread, the ones of a group together, each group's stack once and in full."""
    locks = {lock.address: lock for lock in report.locks}
    by_group: Dict[Optional[int], List[Thread]] = {}
    for thread in chosen:
        by_group.setdefault(thread.group if thread.group is not None else -thread.index, []).append(thread)
    known = {group.id: group for group in report.groups}
    order = [group.id for group in report.groups if group.id in by_group]
    order += [key for key in by_group if key is not None and key not in known]
    for key in order:
        members = by_group[key]
        group = known.get(key)
        page.heading(_title(page, members, group))
        lines: Dict[str, List[Thread]] = {}
        for thread in members:
            lines.setdefault(describe(thread, locks, ids=False), []).append(thread)
        if len(members) == 1:
            page.say(page.name(f"{thread_label(members[0])}: {describe(members[0], locks)}"))
        else:
            for text, same in lines.items():
                if len(same) == 1:
                    page.say(page.name(f"{thread_label(same[0])}: {describe(same[0], locks)}"), INDENT, INDENT * 3)
                else:
                    page.say(page.name(f"threads {ranges(t.index for t in same)}: {text}"), INDENT, INDENT * 3)
                    _identities(page, same)
        stack(page, members[0].frames)


def _identities(page: Page, threads: Sequence[Thread]) -> None:
    """`index=tid/managed id` of each."""
    known = [t for t in threads if t.tid is not None and t.tid_source != "synthetic"]
    managed = any(t.managed is not None and t.managed.id is not None for t in known)
    if known:
        said = " ".join(f"{t.index}={t.tid}" + (f"/{t.managed.id}" if t.managed and managed else "") for t in known)
        page.say(("tid/managed id " if managed else "tid ") + said, INDENT * 3)


def _title(page: Page, members: Sequence[Thread], group: Optional[Group]) -> str:
    title = f": {page.name(group.title)}" if group else ""
    who = f"thread {members[0].index}" if len(members) == 1 else f"{len(members):,} threads"
    return who[0].upper() + who[1:] + title


def stack(page: Page, frames: Sequence[Frame]) -> None:
    """One frame a line: number, pc, module, function and offset, and how it was found where that can be doubted."""
    if not frames:
        page.say("no frames")
        return
    numbers = len(str(len(frames) - 1)) + 1
    pcs = max(len(frame.pc) for frame in frames)
    modules = min(max(len(base_name(f.module)) if f.module else 1 for f in frames), 28)
    number = 0
    while number < len(frames):
        frame = frames[number]
        module = base_name(frame.module) if frame.module else "-"
        alike = _unnamed_run(frames, number)
        if alike >= FOLDED:
            last = number + alike - 1
            offsets = " ".join(f"+0x{f.offset:x}" for f in frames[number : last + 1])
            label = f"#{number}-{last}"
            head = f"{INDENT}{label:<{numbers + 1 + pcs + 1}} {module[:modules]:<{modules}}  "
            page.say(f"(no symbol) {offsets}", head, INDENT * 4, page.width)
            number += alike
            continue
        number += 1
        head = f"{INDENT}{'#' + str(number - 1):<{numbers}} {frame.pc:<{pcs}}  {module[:modules]:<{modules}}  "
        page.say(page.name(where(frame)) + line(frame) + doubt(frame), head, INDENT * 4, page.width)


def _unnamed_run(frames: Sequence[Frame], start: int) -> int:
    """How many frames from there on have no name, lie in one module, and were found by the same kind of evidence."""
    first = frames[start]
    end = start
    while (
        end < len(frames)
        and not frames[end].function
        and frames[end].module == first.module
        and frames[end].offset is not None
        and frames[end].trust in TRUSTED
    ):
        end += 1
    return end - start


TEXT = (TextPart(rank=80, write=groups),)
IN_FULL = in_full
