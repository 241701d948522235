"""Awaiting methods as the report has them: equal chains are one row."""

from __future__ import annotations

from dataclasses import field
from typing import Dict, List, Optional, Tuple

from dumpwalk.analysis.async_look import AsyncLook, BlockedChain
from dumpwalk.analysis.facts import Facts
from dumpwalk.coreclr.tasks.census import Group
from dumpwalk.coreclr.tasks.chain import Node
from dumpwalk.coreclr.tasks.referrers import Reach
from dumpwalk.coreclr.tasks.stuck import EndLook
from dumpwalk.coreclr.tasks.unwatched import Unwatched
from dumpwalk.dataclass import dataclass
from dumpwalk.report.sections.async_ import model


@dataclass
class _Row:
    one: BlockedChain
    look: EndLook
    count: int = 0
    threads: Dict[int, None] = field(default_factory=dict)


def async_chains(facts: Facts) -> Optional[model.Async]:
    look = facts.of(AsyncLook)
    if look.census is None:
        return None
    census = look.census
    whole = {one.thread.index for one in look.blocked if not any(node.left_out for node in one.chain.nodes())}
    groups = {_key(group): group.count for group in census.groups if group.thread not in whole}
    rows = [_blocked(row, groups) for row in _merged(look.blocked)]
    looked = {_key(one.group): one for one in look.unwatched}
    rows += [_counted(g, looked.get(_key(g))) for g in census.groups if g.thread not in whole and _key(g) in groups]
    return model.Async(tuple(rows), census.chains, census.tasks, census.alone, census.searched)


def _merged(blocked: Tuple[BlockedChain, ...]) -> List[_Row]:
    rows: Dict[Tuple, _Row] = {}
    for one in blocked:
        for look in one.ends:
            key = (
                tuple(n.label for n in look.way),
                look.end.kind,
                look.end.what,
                look.nobody,
                one.stuck,
                one.wait.timed,
            )
            row = rows.setdefault(key, _Row(one, look))
            row.count += 1
            row.threads[one.thread.index] = None
    return sorted(rows.values(), key=lambda row: (not row.one.stuck, not row.look.nobody, -row.count, min(row.threads)))


def _key(group: Group) -> Tuple:
    return group.thread, tuple(name for name, _ in group.labels), group.end


def _blocked(row: _Row, groups: Dict[Tuple, int]) -> model.AsyncChain:
    """Where more tasks were waited for than were followed, the count is that of all tasks of the heap."""
    names = tuple(node.what for node in row.look.way if node.kind != "task")
    counted = groups.pop((min(row.threads), names, row.look.end.kind), 0)
    return model.AsyncChain(
        count=max(row.count, counted),
        threads=tuple(sorted(row.threads)),
        timed=row.one.wait.timed,
        stuck=row.one.stuck,
        steps=tuple(_step(node) for node in row.look.way if node.kind != "task" or len(row.look.way) == 1),
        end=_end(row.look),
    )


def _step(node: Node) -> model.AsyncStep:
    address = f"0x{node.address:x}" if node.address else None
    return model.AsyncStep(node.kind, node.what, node.await_number, address, node.grade)


def _end(look: EndLook) -> model.AsyncEnd:
    end, reach = look.end, look.reach
    nobody: Optional[bool] = True if look.nobody else None
    if reach is not None and reach.holders:
        nobody = False
    return model.AsyncEnd(
        kind=end.kind,
        what=end.what,
        address=f"0x{end.address:x}" if end.address is not None else None,
        thread=end.thread,
        due_ms=end.due_ms,
        set_at_ms=end.set_at_ms,
        nobody=nobody,
        held_by=_words(reach) if reach is not None else (),
        grade=end.grade,
    )


def _counted(group: Group, one: Optional[Unwatched]) -> model.AsyncChain:
    steps = tuple(
        model.AsyncStep("method" if number is not None else "task", name, number) for name, number in group.labels
    )
    nobody: Optional[bool] = None
    if one is not None and (one.end.nobody or one.end.holders):
        nobody = one.end.nobody
    held = _words(one.end) if one is not None else ()
    end = model.AsyncEnd(group.end, group.what, f"0x{group.example:x}", nobody=nobody, held_by=held)
    threads = (group.thread,) if group.thread is not None else ()
    kept = _words(one.chain) if one is not None else ()
    garbage = one.garbage if one is not None and nobody and (kept or one.garbage) else None
    return model.AsyncChain(group.count, threads, False, False, steps, end, kept, garbage)


def _words(reach: Reach) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(holder.what for holder in reach.holders))


MAKE = async_chains
