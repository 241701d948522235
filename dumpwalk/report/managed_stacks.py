"""A report with the managed frames of each stack alone, for `dumpwalk threads --managed`."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Tuple

from dumpwalk.report.model import Frame, Group, Report, Thread


def only_managed(report: Report) -> Report:
    """Threads without a managed frame are left out; threads whose managed frames are equal become one group."""
    kept: Dict[int, Tuple[Frame, ...]] = {}
    threads: List[Thread] = []
    groups: Dict[Tuple[str, Tuple[Tuple[object, ...], ...]], List[Thread]] = {}
    titles = {group.id: group.title for group in report.groups}
    for thread in report.threads:
        frames = kept.get(id(thread.frames))
        if frames is None:
            frames = kept[id(thread.frames)] = tuple(f for f in thread.frames if f.kind != "native")
        if not frames:
            continue
        shown = replace(thread, frames=frames)
        threads.append(shown)
        likeness = tuple((f.function, f.module) if f.function else (f.pc,) for f in frames)
        groups.setdefault((titles.get(thread.group or 0, ""), likeness), []).append(shown)
    told: List[Group] = []
    numbers: Dict[int, int] = {}
    for number, ((title, _), members) in enumerate(sorted(groups.items(), key=lambda item: -len(item[1])), 1):
        indexes = tuple(member.index for member in members)
        numbers.update(dict.fromkeys(indexes, number))
        told.append(Group(number, len(members), indexes, members[0].frames, members[0].state, title))
    renumbered = tuple(replace(thread, group=numbers[thread.index]) for thread in threads)
    return replace(report, threads=renumbered, groups=tuple(told))
