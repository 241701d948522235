"""lock-cycle: threads wait for each other's locks, or one waits for a non-recursive lock that it owns."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from dumpwalk.analysis.facts import Facts, LockFact, thread_node
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.core.names import plain
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.names import first_own_frame
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.signature import lock_parts
from dumpwalk.locks.graph import Node
from dumpwalk.locks.waits import Wait

KIND = "lock-cycle"
SENTENCE = "threads wait for each other's locks"
SELF_SENTENCE = "a thread waits for a lock that it holds itself"


def detect(facts: Facts) -> List[Finding]:
    return [f for f in (_finding(facts, cycle) for cycle in facts.graph.cycles()) if f is not None]


def _finding(facts: Facts, cycle: Tuple[Node, ...]) -> Finding | None:
    by_node = {k.node: k for k in facts.locks}
    by_thread = {thread_node(t): t for t in facts.process.threads}
    locks = [by_node[node] for node in cycle if node in by_node]
    threads = [by_thread[node] for node in cycle if node in by_thread]
    if not locks or not threads or any(node.kind == "gc" for node in cycle):
        return None
    if len(threads) == 1 and (locks[0].state.recursive or not _waits(facts, threads[0], locks[0])):
        return None
    members = set(cycle)
    grades = {e.grade for e in facts.graph.edges if e.source in members and e.target in members}
    wanted = _wanted(locks)
    proved = grades <= {"proved"}
    evidence = _evidence(facts, threads, locks, wanted)
    alone = len(threads) == 1
    behind = [n for n in facts.graph.reaching(cycle[0]) if n.kind == "thread" and n not in members]
    title = (
        f"Thread {threads[0].index} waits for {locks[0].label}, which it holds itself."
        if alone
        else f"{len(threads)} threads wait for each other's locks: a deadlock of {len(locks)} locks."
    )
    held: Dict[int, List[LockFact]] = {}
    for lock in locks:
        if lock.owner is not None:
            held.setdefault(lock.owner.index, []).append(lock)
    summary = [_sentence(t, held.get(t.index, []), [k for k, _ in wanted.get(t.index, [])]) for t in threads]
    if behind:
        waits = wording.plural(len(behind), "more thread waits", "more threads wait")
        numbers = wording.ranges(node.number for node in behind)
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
        actors=tuple(Actor(t.index, "holder") for t in threads) + tuple(Actor(n.number, "waiter") for n in behind),
        locks=tuple(f"0x{k.state.address:x}" for k in locks),
        sentence=SELF_SENTENCE if alone else None,
        signature_parts=tuple(lock_parts(locks, threads, facts)),
    )


def _waits(facts: Facts, thread: Thread, lock: LockFact) -> bool:
    return any(w.thread is thread for w in lock.waiters)


def _wanted(locks: Sequence[LockFact]) -> Dict[int, List[Tuple[LockFact, Wait]]]:
    """Thread index → the locks that it waits for, in the order of the ring."""
    found: Dict[int, List[Tuple[LockFact, Wait]]] = {}
    for lock in locks:
        for wait in lock.waiters:
            found.setdefault(wait.thread.index, []).append((lock, wait))
    return found


def _sentence(thread: Thread, held: Sequence[LockFact], wanted: Sequence[LockFact]) -> str:
    frame = first_own_frame(thread.frames())
    where = f", in {plain(frame.function)}" if frame is not None and frame.function else ""
    return f"{wording.tid_words(thread).capitalize()} holds {_labels(held)} and waits for {_labels(wanted)}{where}."


def _labels(locks: Sequence[LockFact]) -> str:
    return " and ".join(dict.fromkeys(k.label for k in locks))


def _evidence(
    facts: Facts,
    threads: Sequence[Thread],
    locks: Sequence[LockFact],
    wanted: Dict[int, List[Tuple[LockFact, Wait]]],
) -> List[Evidence]:
    found: List[Evidence] = []
    for lock in locks:
        if lock.owner is None:
            continue
        owner = wording.owner_evidence(lock, f"the owner of {lock.label} is thread {lock.owner.index}")
        if owner is not None:
            found.append(owner)
    for thread in threads:
        found.extend(wait_evidence(facts, wait, lock) for lock, wait in wanted.get(thread.index, []))
    return found


def wait_evidence(facts: Facts, wait: Wait, lock: LockFact) -> Evidence:
    """One thread's wait for one lock."""
    argument = facts.process.arch.syscall_arguments[3 if wait.call.kind == "psynch-condition" else 0]
    value = wait.thread.registers.get(argument)
    what = f"thread {wait.thread.index} waits for {lock.label}"
    if wait.grade == "proved" and value is not None:
        return wording.register_evidence(wait.thread, argument, value, what, wait.how)
    return Evidence(what, None, None, wait.how, wait.grade)


DETECTOR = Detector(
    KIND,
    40,
    {"hang": SENTENCE, "suspicious": SENTENCE},
    "hang (10); suspicious (11) where a step is not proved",
    detect,
)
