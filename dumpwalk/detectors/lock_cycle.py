"""lock-cycle: threads wait for each other's locks, or one waits for a non-recursive lock that it owns."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.lock_names import first_own_frame, plain
from dumpwalk.detectors import wording
from dumpwalk.detectors.signature import lock_parts, signature
from dumpwalk.report.model import Actor, Evidence, Finding

KIND = "lock-cycle"
SENTENCE = "threads wait for each other's locks"
SELF_SENTENCE = "a thread waits for a lock that it holds itself"


def detect(facts: Facts) -> List[Finding]:
    return [f for f in (_finding(facts, cycle) for cycle in facts.graph.cycles()) if f is not None]


def _finding(facts: Facts, cycle: Tuple[str, ...]) -> Finding | None:
    locks = [k for node in cycle for k in facts.locks if k.node == node]
    threads = [t for node in cycle for t in facts.process.threads if f"thread-{t.index}" == node]
    if not locks or not threads or "gc" in cycle:
        return None
    if len(threads) == 1 and (locks[0].state.recursive or not _waits(facts, threads[0], locks[0])):
        return None
    grades = {e.grade for e in facts.graph.edges if e.source in cycle and e.target in cycle}
    proved = grades <= {"proved"}
    evidence = _evidence(facts, threads, locks)
    alone = len(threads) == 1
    behind = [n for n in facts.graph.reaching(cycle[0]) if n.startswith("thread-") and n not in cycle]
    title = (
        f"Thread {threads[0].index} waits for {locks[0].label}, which it holds itself."
        if alone
        else f"{len(threads)} threads wait for each other's locks: a deadlock of {len(locks)} locks."
    )
    summary = [_sentence(facts, t, locks) for t in threads]
    if behind:
        waits = wording.plural(len(behind), "more thread waits", "more threads wait")
        numbers = wording.ranges(int(node.split("-")[1]) for node in behind)
        summary.append(f"{waits} behind {'it' if alone else 'them'}: {numbers}.")
    return Finding(
        id=f"{KIND}-{threads[0].index}",
        kind=KIND,
        confidence="proved" if proved else "corroborated",
        title=title,
        observed=tuple(summary[: len(threads)]),
        therefore=("None of them can go on before another does, so none ever will.",)
        if not alone
        else ("The lock is not recursive, so the wait for it never ends.",),
        consistent_with=("Locks taken in different orders by different threads.",)
        if not alone
        else ("The same code entered twice, or a release that was skipped.",),
        not_established=("Which of the threads took its locks in the wrong order.",)
        if not alone
        else ("Where the lock was taken the first time.",),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="hang" if proved else "suspicious",
        summary=tuple(summary),
        actors=tuple(Actor(t.index, "holder") for t in threads)
        + tuple(Actor(int(n.split("-")[1]), "waiter") for n in behind),
        locks=tuple(f"0x{k.state.address:x}" for k in locks),
        signature=signature(KIND, lock_parts(locks, threads, facts)),
    )


def _waits(facts: Facts, thread: Thread, lock: LockFact) -> bool:
    return any(w.thread is thread for w in lock.waiters)


def _sentence(facts: Facts, thread: Thread, locks: Sequence[LockFact]) -> str:
    held = [k.label for k in locks if k.owner is thread]
    wanted = [k.label for k in locks if _waits(facts, thread, k)]
    frame = first_own_frame(thread.frames())
    where = f", in {plain(frame.function)}" if frame is not None and frame.function else ""
    return f"{wording.tid_words(thread).capitalize()} holds {' and '.join(held)} and waits for {' and '.join(wanted)}{where}."


def _evidence(facts: Facts, threads: Sequence[Thread], locks: Sequence[LockFact]) -> List[Evidence]:
    found: List[Evidence] = []
    for lock in locks:
        if lock.owner is None:
            continue
        owner = wording.owner_evidence(lock, f"the owner of {lock.label} is thread {lock.owner.index}")
        if owner is not None:
            found.append(owner)
    for thread in threads:
        for lock in locks:
            for wait in lock.waiters:
                if wait.thread is thread:
                    found.append(wait_evidence(facts, wait, lock))
    return found


def wait_evidence(facts: Facts, wait, lock: LockFact) -> Evidence:  # type: ignore[no-untyped-def]
    """One thread's wait for one lock."""
    argument = facts.process.arch.syscall_arguments[3 if wait.call.kind == "psynch-condition" else 0]
    value = wait.thread.registers.get(argument)
    what = f"thread {wait.thread.index} waits for {lock.label}"
    if wait.grade == "proved" and value is not None:
        return wording.register_evidence(wait.thread, argument, value, what, wait.how)
    return Evidence(what, None, None, wait.how, wait.grade)
