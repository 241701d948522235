"""Stacks in Markdown, folded."""

from __future__ import annotations

from typing import List, Optional, Set

from dumpwalk.report.markdown_escape import details, fence, more, prose
from dumpwalk.report.model import Finding, Frame, Group, Report
from dumpwalk.report.names import base_name, frame_name, plural, ranges
from dumpwalk.report.section import MarkdownPart
from dumpwalk.report.sections.threads.phrases import doubt, involved_threads, line, where

GROUPS, FRAMES = 40, 64
"""Groups of equal stacks, and frames of each."""


def _involved(report: Report, finding: Optional[Finding]) -> Set[int]:
    """Groups of the threads that the finding or the graph names, and of every thread that runs."""
    threads = involved_threads(report, finding)
    return {g.id for g in report.groups if g.state == "running" or not threads.isdisjoint(g.threads)}


def stacks_involved(report: Report, finding: Optional[Finding]) -> str:
    involved = _involved(report, finding)
    return _stacks("Stacks of the threads involved", [g for g in report.groups if g.id in involved])


def stacks_other(report: Report, finding: Optional[Finding]) -> str:
    involved = _involved(report, finding)
    return _stacks("Stacks of the other threads", [g for g in report.groups if g.id not in involved])


def _stacks(title: str, groups: List[Group]) -> str:
    if not groups:
        return ""
    total = sum(group.count for group in groups)
    body = "\n\n".join(_stack(group) for group in groups[:GROUPS]) + more(len(groups), GROUPS, "group")
    return details(f"{title}: {plural(total, 'thread')} in {plural(len(groups), 'group')}", body)


def _stack(group: Group) -> str:
    numbers = ranges(group.threads, most=16)
    head = f"**{plural(group.count, 'thread')}** ({numbers}), {group.state}: {prose(group.title)}"
    lines = [_frame(number, frame) for number, frame in enumerate(group.frames[:FRAMES])]
    if len(group.frames) > FRAMES:
        lines.append(f"... {len(group.frames) - FRAMES} frames more")
    return f"{head}\n\n{fence(chr(10).join(lines) or 'no frames')}"


def _frame(number: int, frame: Frame) -> str:
    offset = f"+0x{frame.offset:x}" if frame.function and frame.offset else ""
    name = frame_name(frame) if frame.function else where(frame)
    module = f"  ({base_name(frame.module)})" if frame.module and frame.function else ""
    if frame.module and not frame.function:
        module = f"  ({base_name(frame.module)})"
    return f"#{number:<2} {frame.pc}  {name}{offset}{module}{line(frame)}{doubt(frame)}"


MARKDOWN = (
    MarkdownPart("stacks of the threads involved", rank=80, worth=30, write=stacks_involved),
    MarkdownPart("stacks of the other threads", rank=82, worth=10, write=stacks_other),
)
