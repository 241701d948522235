"""The managed side of wait-without-owner: an event, a semaphore, a barrier, a task, an item, or a pulse.

No owner exists, so nothing can be proved: consumers of an empty queue and waiters whose signal was lost look the same. A
note that lists what is waited for, with its counts.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Set, Tuple

from dumpwalk.analysis.async_look import AsyncLook, BlockedChain
from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.results import PoolLook
from dumpwalk.claims.model import Actor, Finding
from dumpwalk.coreclr.locks.other_waits import OWNERLESS
from dumpwalk.detectors import wording
from dumpwalk.locks.waits import Wait

KIND = "wait-without-owner"
_SHOWN = 16
_COMES = ("timer", "io", "queued", "posted")
"""Ends of chains that are told only where there are no others."""


def managed_waits(facts: Facts) -> List[Finding]:
    groups: Dict[Tuple[str, object], List[Wait]] = {}
    starving = {thread.index for thread in facts.of(PoolLook).starving}
    told = {one.thread.index for one in facts.of(AsyncLook).blocked if one.stuck or one.bound or one.settled}
    for wait in facts.waits:
        if wait.thread.index in starving or wait.thread.index in told:
            continue  # what it waits for is told: it is queued, a timer, a socket, or nobody can end it
        if wait.kind in OWNERLESS and wait.explained and "managed-locks" in wait.areas:
            groups.setdefault((wait.kind, wait.target or wait.thread.index), []).append(wait)
    return [_finding(facts, list(groups.values()))] if groups else []


def _end(one: Optional[BlockedChain]) -> str:
    """`; its chain ends at a TaskCompletionSource, to which the stack of thread 9 leads`."""
    looks = [look for look in one.ends if look.end.kind not in _COMES] if one is not None else []
    looks = looks or list(one.ends if one is not None else ())
    if not looks:
        return ""
    first, held = looks[0], looks[0].reach.holders if looks[0].reach is not None else []
    text = f"; its chain ends at {first.end.what}" + (f", to which {held[0].what} leads" if held else "")
    return text + (f", and at {wording.plural(len(looks) - 1, 'other thing')}" if len(looks) > 1 else "")


def _whole_pool(facts: Facts, waiting: Set[int]) -> List[str]:
    """That the whole pool is among those who wait: what is queued there stands still as long, whoever ends the waits."""
    pool = facts.of(PoolLook).pool
    if pool is None or not pool.counts.at_limit or not pool.queues.items or len(pool.workers) != pool.counts.existing:
        return []
    if not waiting.issuperset(worker.thread.index for worker in pool.workers):
        return []
    queued = wording.plural(len(pool.queues.items), "work item")
    return [
        f"Among them are all the workers that the thread pool may have, and {queued} "
        f"{'stands' if len(pool.queues.items) == 1 else 'stand'} in its queues: none is taken before one of the waits ends."
    ]


def _finding(facts: Facts, groups: List[List[Wait]]) -> Finding:
    lines, evidence = [], []
    labels = facts.reading.labels if facts.reading is not None else {}
    chains = {one.thread.index: one for one in facts.of(AsyncLook).blocked}
    for waits in sorted(groups, key=lambda g: (-len(g), g[0].thread.index))[:_SHOWN]:
        first = waits[0]
        what = labels.get(first.target, first.kind) if first.target is not None else f"a {first.kind}"
        verb = "waits" if len(waits) == 1 else "wait"
        threads = wording.thread_words([w.thread for w in waits]).capitalize()
        if len(waits) == 1:
            threads = wording.person(facts, first.thread)
        end = _end(chains.get(first.thread.index))
        lines.append(f"{threads} {verb} for {what}{wording.place(facts, first.thread)}{end}.")
        evidence.append(wording.wait_evidence(facts, first, f"thread {first.thread.index} waits for {what}"))
    if len(groups) > _SHOWN:
        lines.append(f"{len(groups) - _SHOWN} more of such things are waited for.")
    count = sum(len(g) for g in groups)
    lines += _whole_pool(facts, {wait.thread.index for waits in groups for wait in waits})
    return Finding(
        id=KIND,
        kind=KIND,
        confidence="corroborated",
        title=f"{wording.plural(count, 'thread waits', 'threads wait')} for something that has no owner.",
        observed=tuple(lines),
        therefore=(),
        consistent_with=("Consumers with nothing to do.", "A signal that was lost or is never given."),
        not_established=("Whether the signal will come: nobody owns it, and one snapshot has no durations.",),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="none",
        summary=tuple(lines),
        actors=tuple(Actor(w.thread.index, "waiter") for waits in groups for w in waits),
    )
