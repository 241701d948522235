"""pool-starvation: every worker of the thread pool is blocked, and the work that would release one stands in its queue.

A hang where the pool is at its limit, since only its own workers take what is queued; suspicious where it may still add
one, which may take the released work.
"""

from __future__ import annotations

from typing import Iterator, List, Optional, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.results import PoolLook
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.core.names import plural
from dumpwalk.coreclr.threadpool.pool import Pool
from dumpwalk.coreclr.threadpool.release import Held, LockWait
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.locks.state import Word

KIND = "pool-starvation"
SENTENCE = (
    "every worker of the thread pool waits for work that stands in the pool's queue, and the pool is at its limit"
)
GROWING = "every worker of the thread pool waits for work that stands in the pool's queue; the pool may still grow"
TIMED = "every worker of the thread pool waits for work that stands in the pool's queue until a wait gives up"
_SHOWN = 8


def detect(facts: Facts) -> List[Finding]:
    look = facts.of(PoolLook)
    if look.pool is None or not look.starved:
        return []
    return [_finding(facts, look.pool, look.held, look.through)]


def _finding(facts: Facts, pool: Pool, held: Tuple[Held, ...], through: Tuple[Held, ...]) -> Finding:
    counts = pool.counts
    every_one = (*held, *through)
    timed = [h for h in every_one if h.timed]
    proved = all(_proved(pool, h) for h in every_one)
    hang = counts.at_limit and proved and not timed
    workers = plural(counts.existing, "worker")
    if timed:
        sentence, end = TIMED, "until a wait gives up"
    elif counts.at_limit:
        sentence, end = SENTENCE, f"and the pool may have no more than {counts.maximum:,}"
    else:
        sentence, end = GROWING, f"the pool may grow to {counts.maximum:,}"
    queued = plural(len(pool.queues.items), "work item")
    lines = [_line(facts, pool, h) for h in held[:_SHOWN]]
    if len(held) > _SHOWN:
        lines.append(
            f"{len(held) - _SHOWN} more workers likewise: {wording.ranges(h.worker.thread.index for h in held)}."
        )
    every = f"All {workers} of the thread pool are" if counts.existing > 1 else "The only worker of the thread pool is"
    standing = f"{queued} {'stand' if len(pool.queues.items) != 1 else 'stands'} in"
    lines += [_line(facts, pool, h) for h in through[:_SHOWN]]
    on = "tasks" if all(h.lock is None for h in held) else "locks" if all(h.lock for h in held) else "tasks and locks"
    head = f"{every} blocked on {on}; {standing} its queues."
    evidence = _evidence(facts, pool, every_one)
    return Finding(
        id=KIND,
        kind=KIND,
        confidence="proved" if proved else "corroborated",
        title=f"{every} blocked on work that stands in the pool's own queue, {end}.",
        observed=(head, *lines),
        therefore=(_therefore(pool, bool(timed)),),
        consistent_with=(
            "Async methods waited for by blocking calls (Wait, Result, GetAwaiter().GetResult) on the pool's threads.",
        ),
        not_established=_open(pool, bool(timed)),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="hang" if hang else "suspicious",
        summary=(*lines, f"{standing} the pool's queues."),
        actors=tuple(Actor(h.worker.thread.index, "waiter") for h in every_one),
        sentence=sentence,
        signature_parts=tuple(_parts(facts, every_one)),
    )


def _proved(pool: Pool, held: Held) -> bool:
    if held.lock is not None:
        return held.lock.grade == "proved"
    waits = held.worker.waits
    return waits is not None and waits.grade == "proved" and (held.item is not None or _runs_proved(pool, held))


def _runs_proved(pool: Pool, held: Held) -> bool:
    return any(
        held.task is not None and running.task.address == held.task.address and running.grade == "proved"
        for worker in pool.workers
        if worker.thread is held.behind
        for running in worker.running
    )


def _line(facts: Facts, pool: Pool, held: Held) -> str:
    thread, where = held.worker.thread, wording.place(facts, held.worker.thread)
    behind = held.behind.index if held.behind is not None else 0
    if held.lock is not None or held.task is None:
        label = held.lock.label if held.lock is not None else "a lock"
        return f"{wording.person(facts, thread)} waits for {label}, which thread {behind} holds{where}."
    who = f"{wording.person(facts, thread)} waits for the task {held.task.what}"
    if held.item is None:
        return f"{who}, which thread {behind} runs{where}."
    place = f"number {held.item.position + 1} of the {held.item.queue} queue"
    if len(held.way) > 1:
        return f"{who}, which needs {pool.item_words(held.item)}: {place}{where}."
    return f"{who}: {place}{where}."


def _therefore(pool: Pool, timed: bool) -> str:
    if timed:
        return "No worker goes on before its wait gives up, unless the pool gets another."
    if pool.counts.at_limit:
        return "Only workers take what is queued, and there will be no other: none of them ever goes on."
    return "No worker goes on before the pool adds another, and that one may take work that blocks as well."


def _open(pool: Pool, timed: bool) -> tuple:
    found = []
    if not pool.counts.at_limit:
        found.append("Whether the pool grows fast enough: it adds a worker or two a second. A second dump tells.")
    else:
        found.append("Whether a thread outside the pool is about to raise its limit (ThreadPool.SetMaxThreads).")
    if timed:
        found.append("When the waits give up, and what the program does then.")
    return tuple(found)


def _evidence(facts: Facts, pool: Pool, held: Tuple[Held, ...]) -> List[Evidence]:
    counts = pool.counts
    found = [
        wording.word_evidence(counts.word, "every thread that the pool has is at work", counts.word.what),
        wording.word_evidence(counts.maximum_word, "the most threads that it may have", counts.maximum_word.what),
    ]
    for one in held[:_SHOWN]:
        thread, waits = one.worker.thread, one.worker.waits
        if one.lock is not None:
            found += _of_lock(facts, one, one.lock)
        if waits is None or one.task is None or one.lock is not None:
            continue
        what = f"thread {thread.index} waits for the task {one.task.what} at 0x{one.task.address:x}"
        if waits.seen.address is not None:
            word = Word("stack word", waits.seen.address, waits.seen.value, 8, " ")
            found.append(wording.word_evidence(word, what, waits.how, waits.grade))
        else:
            found.append(Evidence(what, None, None, waits.how, waits.grade))
        released = _release(pool, one)
        if released is not None:
            found.append(released)
    return found


def _of_lock(facts: Facts, held: Held, lock: LockWait) -> Iterator[Evidence]:
    fact = facts.lock_at(lock.address)
    if fact is None:
        return
    for wait in fact.waiters:
        if wait.thread is held.worker.thread:
            yield wording.wait_evidence(facts, wait, f"thread {wait.thread.index} waits for {lock.label}")
    yield from wording.holder_evidence(fact, lock.owner, f"the owner of {lock.label} is thread {lock.owner.index}")


def _release(pool: Pool, held: Held) -> Optional[Evidence]:
    item = held.item
    if item is None:
        return None
    what = f"{pool.item_words(item)} at 0x{item.address:x} is queued and has not been taken"
    how = f"a slot of the {item.queue} queue names it"
    if len(held.way) > 1:
        how += "; its continuations lead to the task: " + ", ".join(f"0x{a:x}" for a in held.way[1:])
    return wording.word_evidence(Word("slot", item.slot, item.address, 8, " "), what, how)


def _parts(facts: Facts, held: Tuple[Held, ...]) -> List[str]:
    """Who waits where, and for which methods: never counts or addresses."""
    parts = {f"task {h.task.what}" for h in held if h.task is not None}
    for one in held:
        own = facts.around.own_method(one.worker.thread) if facts.around is not None else None
        if own is not None:
            parts.add(f"in {own}")
    return sorted(parts)


DETECTOR = Detector(
    KIND,
    65,
    {"hang": SENTENCE, "suspicious": GROWING},
    "hang (10) where the pool is at its limit; suspicious (11) where it may grow or a wait gives up by itself",
    detect,
)
