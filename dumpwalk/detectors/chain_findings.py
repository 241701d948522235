"""The finding of a thread that can never leave a chain: what was observed, what follows, what does not."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.claims.words import Role
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.dispatch.audit import ChainCycle, Element
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.coreclr.locks.names import WRITE_LOCK
from dumpwalk.detectors import causes, ownership, wording

_WALKERS_SHOWN = 8
"""Walkers whose registers are listed as evidence; all of them are named and counted."""


def stuck_finding(facts: Facts, kind: str, walkers: Sequence[Walker], others: Sequence[Walker]) -> Finding:
    """One finding for the chain(s) that hold the given walkers."""
    writer = walkers[0].writer
    lock = facts.write_lock if writer else None
    cycles = _cycles(walkers)
    evidence = _evidence(facts, cycles, walkers, others, lock)
    cycle = cycles[0]
    whose = ownership.summary(facts, cycle.nodes)
    evidence += ownership.evidence(facts, cycle.nodes)
    return Finding(
        id=f"{kind}-{cycle.bucket}",
        kind=kind,
        confidence="proved" if walkers[0].owns_lock or not writer else "corroborated",
        title=_title(walkers, others, lock, writer),
        observed=(*_observed(facts, cycles, walkers, others, lock), *whose),
        therefore=tuple(_therefore(facts, walkers, lock)),
        consistent_with=tuple(causes.of_bad_chain(facts)),
        not_established=(*causes.not_established(facts), *ownership.not_established(facts)),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="hang",
        summary=(*_summary(facts, cycle, walkers, others, lock), *whose),
        actors=tuple(_actors(facts, walkers, others, lock)),
        locks=(f"0x{lock.state.address:x}",) if lock else (),
        buckets=tuple(c.bucket for c in cycles),
        signature_parts=("writer", WRITE_LOCK) if writer else ("lock-free", ""),
    )


def _cycles(walkers: Sequence[Walker]) -> List[ChainCycle]:
    found: List[ChainCycle] = []
    for walker in walkers:
        if walker.cycle is not None and walker.cycle not in found:
            found.append(walker.cycle)
    return found


def _title(walkers: Sequence[Walker], others: Sequence[Walker], lock: LockFact | None, writer: bool) -> str:
    many = len(walkers) + len([w for w in others if w.stuck])
    walk = "One thread walks" if many == 1 else f"{many} threads walk"
    if lock is None and not writer:
        return f"{walk} a circular list for ever, without a lock."
    if lock is None or not lock.waiters:
        return f"{walk} a circular list for ever and holds DispatchCache::m_writeLock."
    waiters = wording.plural(len(lock.waiters), "thread waits", "threads wait")
    holds = "holds" if many == 1 else "one of them holds"
    return f"{walk} a circular list for ever and {holds} the lock that {waiters} for."


def _where(walker: Walker) -> str:
    if walker.function:
        return walker.function + ("" if walker.function_source == "symbol" else "~")
    return "a chain walk"


def _summary(
    facts: Facts, cycle: ChainCycle, walkers: Sequence[Walker], others: Sequence[Walker], lock: LockFact | None
) -> List[str]:
    first = walkers[0]
    lines = []
    if len(walkers) == 1:
        lines.append(
            f"{wording.tid_words(first.thread).capitalize()} is in {_where(first)}, following bucket {cycle.bucket} of the "
            "interface-dispatch cache."
        )
    else:
        names = ", ".join(sorted({_where(w) for w in walkers}))
        lines.append(
            f"{wording.thread_words([w.thread for w in walkers]).capitalize()} are in {names}, following bucket "
            f"{cycle.bucket} of the interface-dispatch cache."
        )
    lines.append(_shape(cycle) + " so the walk cannot end.")
    sharing = _sharing(facts, cycle)
    if sharing:
        verb = "leads" if len(sharing) == 1 else "lead"
        lines.append(f"{wording.bucket_words(sharing).capitalize()} {verb} into the same loop.")
    for other in others:
        grade = (
            "is stuck on the same loop too, without the lock"
            if other.stuck
            else "stands on the same loop, as far as seen"
        )
        lines.append(f"{wording.tid_words(other.thread).capitalize()} {grade} ({_where(other)}).")
    if lock is not None:
        waiting = [w.thread for w in lock.waiters]
        if not first.owns_lock:
            lines.append(_holder_by_code(first, lock))
            if waiting:
                lines.append(
                    f"{wording.thread_words(waiting).capitalize()} {'waits' if len(waiting) == 1 else 'wait'} for it."
                )
        elif waiting:
            verb = "waits" if len(waiting) == 1 else "wait"
            lines.append(
                f"Thread {first.thread.index} owns {lock.label}. "
                f"{wording.thread_words(waiting).capitalize()} {verb} for it. Nothing in the process can free it."
            )
        else:
            lines.append(f"Thread {first.thread.index} owns {lock.label}; nobody waits for it yet.")
    lines.extend(consequences(facts, [w.thread for w in [*walkers, *others]], lock))
    return lines


def _sharing(facts: Facts, cycle: ChainCycle) -> List[int]:
    """The other buckets whose chains run into this loop."""
    if facts.cache is None:
        return []
    loop = facts.cache.walk.loop_of(facts.process.memory, cycle)
    return [c.bucket for c in facts.cache.walk.cycles if c.bucket != cycle.bucket and c.entry in loop]


def _holder_by_code(walker: Walker, lock: LockFact) -> str:
    """The holder where the owner word cannot be matched to a thread: the lock is held, and this code runs under it."""
    return (
        f"{lock.label} is held; its owner word names id {lock.state.owner_tid}, but this dump has no thread ids to compare. "
        f"{wording.tid_words(walker.thread).capitalize()} is in {_where(walker)}, which walks under that lock only."
    )


def _shape(cycle: ChainCycle) -> str:
    position = wording.ordinal(len(cycle.before) + 1)
    if cycle.length == 1:
        return f"The {position} element of that bucket points to itself,"
    return f"From its {position} element on, that bucket is a loop of {cycle.length} elements,"


def consequences(facts: Facts, stuck: Sequence[Thread], lock: LockFact | None) -> List[str]:
    """A suspension that waits for the root is a consequence of it, told with it."""
    suspension = facts.suspension
    if suspension is None or suspension.suspender is None:
        return []
    chained = {t.index for t in stuck} | {w.thread.index for w in (lock.waiters if lock else ())}
    rooted = [t for t in suspension.blocking if t.index in chained]
    if not rooted:
        return []
    line = (
        f"As a consequence, the suspension that thread {suspension.suspender.index} started (a garbage collection) never "
        f"ends: it waits for {wording.thread_words(rooted)}, in cooperative mode."
    )
    waiting = [t for t in suspension.waiting if t.index not in chained]
    if waiting:
        verb = "waits" if len(waiting) == 1 else "wait"
        line += f" {wording.thread_words(waiting).capitalize()} {verb} for that collection."
    return [line]


def _observed(
    facts: Facts,
    cycles: Sequence[ChainCycle],
    walkers: Sequence[Walker],
    others: Sequence[Walker],
    lock: LockFact | None,
) -> List[str]:
    lines = []
    for cycle in cycles:
        loop = "a node whose pNext is itself" if cycle.length == 1 else f"a loop of {cycle.length} nodes"
        tail = wording.plural(len(cycle.before), "node")
        lines.append(f"The chain of bucket {cycle.bucket} has {loop}, reached after {tail}, at 0x{cycle.entry:x}.")
    for walker in [*walkers, *others]:
        where = f"{wording.tid_words(walker.thread).capitalize()} is running, not in a system call"
        if walker.cursor_register:
            where += f"; its {walker.cursor_register} points into that loop"
        lines.append(where + ".")
    if lock is not None:
        names = f"names thread {walkers[0].thread.index} as owner" if walkers[0].owns_lock else "names an id as owner"
        lines.append(f"{lock.label} at 0x{lock.state.address:x} is locked and {names}.")
        if lock.waiters:
            lines.append(f"{wording.plural(len(lock.waiters), 'thread')} in a wait for that lock.")
    return lines


def _therefore(facts: Facts, walkers: Sequence[Walker], lock: LockFact | None) -> List[str]:
    lines = ["A walk of this chain for a key that is not in the loop never ends."]
    if lock is not None:
        lines.append("The owner never reaches the release of the lock, and everyone who wants the lock waits for ever.")
    else:
        lines.append(
            "Each of these threads spins for ever by itself; in cooperative mode, so no garbage collection can start."
        )
    return lines


def _actors(facts: Facts, walkers: Sequence[Walker], others: Sequence[Walker], lock: LockFact | None) -> List[Actor]:
    actors: List[Tuple[int, Role]] = []
    for walker in walkers:
        if walker.writer:
            actors.append((walker.thread.index, "holder"))
        actors.append((walker.thread.index, "spinner"))
    actors.extend((w.thread.index, "spinner") for w in others)
    if lock is not None:
        actors.extend((w.thread.index, "waiter") for w in lock.waiters)
    if facts.suspension is not None and facts.suspension.suspender is not None:
        actors.append((facts.suspension.suspender.index, "suspender"))
    return [Actor(index, role) for index, role in actors]


def _evidence(
    facts: Facts,
    cycles: Sequence[ChainCycle],
    walkers: Sequence[Walker],
    others: Sequence[Walker],
    lock: LockFact | None,
) -> List[Evidence]:
    found: List[Evidence] = []
    for cycle in cycles:
        base = len(cycle.before)
        shown: List[Tuple[int, Element]] = list(enumerate(cycle.nodes, base + 1))
        if len(cycle.nodes) != cycle.length:  # the report lists the first ones only
            shown = [*shown[:4], (base + cycle.length, cycle.last)]
        elif len(shown) > 8:
            shown = [*shown[:4], *shown[-4:]]
        for position, element in shown:
            following = base + 1 + (position - base) % cycle.length
            found.append(wording.node_evidence(element, f"pNext of [{position}] is [{following}]"))
    shown_walkers = [*walkers, *others][:_WALKERS_SHOWN]
    for walker in shown_walkers:
        found.extend(wording.walker_evidence(facts, walker))
    if lock is not None:
        holder = walkers[0]
        who = (
            f"thread {holder.thread.index}"
            if holder.owns_lock
            else "an id that no thread of this dump can be matched to"
        )
        owner = wording.owner_evidence(lock, f"the owner of {lock.label} is {who}")
        if owner is not None:
            found.append(owner)
        found.extend(wording.waiters_evidence(facts, lock))
        found.extend(wording.owner_hints(facts, lock))
    location = facts.location
    if facts.cache is not None and len(facts.cache.located_by) > 1:
        ways = " and ".join(f"by {w} ({d})" for w, d in zip(facts.cache.located_by, location.details))
        found.append(
            Evidence(
                f"the cache was found {ways}",
                f"0x{facts.cache.shape.address:x}",
                None,
                "both ways agree",
                "corroborated",
            )
        )
    return found
