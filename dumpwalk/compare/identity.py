"""Whether two reports are of one process. What differs is named; nothing is compared then."""

from __future__ import annotations

from datetime import datetime
from typing import Dict, Iterator, Optional, Set

from dumpwalk.errors import DumpwalkError
from dumpwalk.report.model import Module, Report
from dumpwalk.report.sections.movement.model import STOP, Movement


class NotOneProcess(DumpwalkError):
    kind = "not-one-process"
    exit_code = 2
    help_text = "Give two looks at one process, the earlier one first."


def refuse_strangers(first: Report, second: Report) -> None:
    """Raises NotOneProcess."""
    for difference in _differences(first, second):
        raise NotOneProcess(f"{first.dump.path} and {second.dump.path} are not of one process: {difference}.")
    before, after = _exact(first), _exact(second)
    if before is not None and after is not None and after < before:
        raise NotOneProcess(
            f"{second.dump.path} was taken before {first.dump.path} ({after.isoformat()}, {before.isoformat()}): swap them."
        )


def _differences(first: Report, second: Report) -> Iterator[str]:
    a, b = first.dump, second.dump
    if (a.os, a.arch) != (b.os, b.arch):
        yield f"one is of {a.os} {a.arch}, the other of {b.os} {b.arch}"
    if a.pid is not None and b.pid is not None and a.pid != b.pid:
        yield f"the process ids are {a.pid} and {b.pid}"
    started = _started(first), _started(second)
    if None not in started and started[0] != started[1]:
        yield f"one started at tick {started[0]} of the machine's clock, the other at {started[1]}"
    modules = _by_path(first), _by_path(second)
    shared = [path for path in modules[0] if path in modules[1]]
    for path in shared:
        one, other = modules[0][path], modules[1][path]
        if one.build_id and other.build_id and one.build_id != other.build_id:
            yield f"{path} has build-id {one.build_id} in one, {other.build_id} in the other"
    for path in shared:
        one, other = modules[0][path], modules[1][path]
        if one.base and other.base and one.base != other.base:
            yield f"{path} lies at {one.base} in one, at {other.base} in the other"
    tids = _tids(first), _tids(second)
    if tids[0] and tids[1] and not tids[0] & tids[1]:
        yield "they have no thread in common"


def _by_path(report: Report) -> Dict[str, Module]:
    """Those that are mapped once: a path may name several mappings."""
    found: Dict[str, Module] = {}
    twice: Set[str] = set()
    for module in report.modules:
        if module.path in found:
            twice.add(module.path)
        found[module.path] = module
    return {path: module for path, module in found.items() if path not in twice}


def _tids(report: Report) -> Set[int]:
    return {t.tid for t in report.threads if t.tid is not None and t.tid_source == "os"}


def _started(report: Report) -> Optional[int]:
    movement = report.of(Movement)
    return movement.process_started if movement is not None else None


def _exact(report: Report) -> Optional[datetime]:
    movement = report.of(Movement)
    if movement is None or movement.taken is None or movement.taken_from != STOP:
        return None
    return moment(movement.taken)


def moment(text: Optional[str]) -> Optional[datetime]:
    """None where it is no time that can be read."""
    try:
        found = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
