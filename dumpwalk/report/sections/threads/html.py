"""Stacks of the page: threads with equal stacks together, each stack once and in full, each thread in one row."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from markupsafe import Markup

from dumpwalk.dataclass import dataclass
from dumpwalk.report.html.marks import function_parts
from dumpwalk.report.model import Actor, Frame, Group, Report, Thread
from dumpwalk.report.names import MANAGED, base_name, count, frame_chain, mark, ranges
from dumpwalk.report.own_code import METADATA, is_method, is_own
from dumpwalk.report.section import HtmlPart
from dumpwalk.report.sections.threads.phrases import describe, doubt, line, where

CHAIN = 5
"""Frames named in the line of a folded group."""
OPEN = 3
"""Groups that are unfolded when the page opens: those of the main finding's threads."""


@dataclass(frozen=True)
class FrameView:
    pc: str
    module: str
    before: str
    name: str
    after: str
    inferred: bool
    known: bool
    """False where there is no name, and `name` says what it is instead."""
    doubt: str
    own: bool = False
    """A method of the program itself."""
    framework: bool = False
    """A method of the framework."""


@dataclass(frozen=True)
class Row:
    anchor: str
    index: int
    tid: str
    text: str


@dataclass(frozen=True)
class GroupView:
    anchor: str
    count: int
    state: str
    title: str
    numbers: str
    indexes: Tuple[int, ...]
    chain: Tuple[str, ...]
    frames: Tuple[FrameView, ...]
    rows: Tuple[Row, ...]
    roles: str
    """As what its threads take part in the main finding: `holder, spinner`."""
    open: bool


def group_views(report: Report, prefix: str, actors: Sequence[Actor]) -> List[GroupView]:
    """Groups of the main finding's threads first, waiters after those they wait for, then the others as in the report.

    Threads that the report has in no group come last, each by itself.
    """
    locks = {lock.address: lock for lock in report.locks}
    known = {group.id for group in report.groups}
    by_group: Dict[int, List[Thread]] = {}
    alone: List[Thread] = []
    for thread in report.threads:
        if thread.group in known and thread.group is not None:
            by_group.setdefault(thread.group, []).append(thread)
        else:
            alone.append(thread)
    parts: List[Tuple[Optional[Group], List[Thread]]] = [(group, by_group.get(group.id, [])) for group in report.groups]
    parts += [(None, [thread]) for thread in alone]
    roles: Dict[int, List[str]] = {}
    for actor in sorted(actors, key=lambda one: one.role == "waiter"):
        roles.setdefault(actor.thread, []).append(actor.role)
    ranks = {index: rank for rank, index in enumerate(roles)}
    parts.sort(
        key=lambda part: (min((ranks.get(t.index, len(ranks)) for t in part[1]), default=len(ranks)), _calm(part))
    )
    views = []
    for number, (group, members) in enumerate(parts):
        rows = tuple(
            Row(f"{prefix}t-{t.index}", t.index, _tid(t), describe(t, locks)) for t in members
        )  # fmt: skip
        frames = group.frames if group and group.frames else members[0].frames if members else ()
        state = group.state if group else members[0].state
        title = group.title if group else rows[0].text
        indexes = tuple(t.index for t in members)
        taking = dict.fromkeys(role for index in indexes for role in roles.get(index, ()))
        views.append(
            GroupView(
                f"{prefix}g-{number + 1}", len(members), state, title, ranges(indexes), indexes,
                tuple(frame_chain(frames, CHAIN)), tuple(frame_view(frame) for frame in frames), rows, ", ".join(taking),
                bool(taking) and number < OPEN,
            )
        )  # fmt: skip
    return views


def _calm(part: Tuple[Optional[Group], List[Thread]]) -> int:
    """Who waits for a lock first, then who runs, then those that wait for something else, those with a known purpose last."""
    members = part[1]
    if any(thread.wait is not None and thread.wait.lock for thread in members):
        return 0
    if any(thread.state == "running" for thread in members):
        return 1
    return 3 if members and all(thread.role for thread in members) else 2


def _tid(thread: Thread) -> str:
    return str(thread.tid) if thread.tid is not None and thread.tid_source != "synthetic" else ""


def frame_view(frame: Frame) -> FrameView:
    module = base_name(frame.module) if frame.module else ""
    doubted = doubt(frame).strip(" []")
    if not frame.function or frame.function == MANAGED:
        return FrameView(frame.pc, module, "", re.sub(r"[()]", "", where(frame)), "", False, False, doubted)
    if frame.name_source == METADATA:
        owner, _, name = ("", "", frame.function) if "!" in frame.function else frame.function.rpartition(".")
        before, after = (owner + "." if owner else ""), ""
    else:
        before, name, after = function_parts(frame.function)
    inferred = frame.name_source == "inferred"
    offset = f" +0x{frame.offset:x}" if frame.offset else ""
    return FrameView(
        frame.pc,
        module,
        before,
        mark(name, frame.name_source),
        after + offset + line(frame),
        inferred,
        True,
        doubted,
        is_own(frame),
        is_method(frame) and not is_own(frame),
    )


def _title(core: Any) -> Markup:
    return Markup('Threads <span class="n">{}</span>').format(count(len(core.report.threads)))


HTML = (HtmlPart(rank=80, id="threads", template="threads/page.html.j2", view=lambda core: core, title=_title),)
