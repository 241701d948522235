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
from dumpwalk.locks.graph import Edge, Node
from dumpwalk.locks.waits import Wait

KIND = "lock-cycle"
SENTENCE = "threads wait for each other's locks"
SELF_SENTENCE = "a thread waits for a lock that it holds itself"
JOIN_SENTENCE = "threads wait for each other to end"
MIXED_SENTENCE = "threads wait for each other's locks and for each other to end"
_TOLD = ("thread-end",)
"""Kinds of nodes, beside threads and locks, that a cycle may be told with here."""


def detect(facts: Facts) -> List[Finding]:
    return [f for f in (_finding(facts, cycle) for cycle in facts.graph.cycles()) if f is not None]


def _verdict_sentence(threads: int, locks: int) -> str:
    """Locks alone, one thread alone, or locks and other waits mixed."""
    if threads == 1:
        return SELF_SENTENCE
    if locks >= threads:
        return SENTENCE
    return MIXED_SENTENCE if locks else JOIN_SENTENCE


def _finding(facts: Facts, cycle: Tuple[Node, ...]) -> Finding | None:
    by_node = {k.node: k for k in facts.locks}
    by_thread = {thread_node(t): t for t in facts.process.threads}
    locks = [by_node[node] for node in cycle if node in by_node]
    threads = [by_thread[node] for node in cycle if node in by_thread]
    others = [node for node in cycle if node.kind not in ("thread", "lock")]
    if not threads or any(node.kind not in _TOLD for node in others) or not (locks or others):
        return None
    alone = len(threads) == 1
    if alone and (not locks or locks[0].state.recursive or not _waits(facts, threads[0], locks[0])):
        return None
    members = set(cycle)
    edges = [e for e in facts.graph.edges if e.source in members and e.target in members]
    proved = {e.grade for e in edges} <= {"proved"}
    evidence = _evidence(facts, edges, by_node, by_thread)
    behind = [n for n in facts.graph.reaching(cycle[0]) if n.kind == "thread" and n not in members]
    summary = [_sentence(facts, t, edges, by_node) for t in threads]
    if behind:
        waits = wording.plural(len(behind), "more thread waits", "more threads wait")
        numbers = wording.ranges(node.number for node in behind)
        summary.append(f"{waits} behind {'it' if alone else 'them'}: {numbers}.")
    return Finding(
        id=f"{KIND}-{threads[0].index}",
        kind=KIND,
        confidence="proved" if proved else "corroborated",
        title=_title(threads, locks, others),
        observed=tuple(summary[: len(threads)]),
        therefore=("None of them can go on before another does, so none ever will.",)
        if not alone
        else ("The lock is not recursive, so the wait for it never ends.",),
        consistent_with=(_usual_cause(alone, bool(others)),),
        not_established=(_open_question(alone, bool(others)),),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="hang" if proved else "suspicious",
        summary=tuple(summary),
        actors=tuple(Actor(t.index, "holder") for t in threads) + tuple(Actor(n.number, "waiter") for n in behind),
        locks=tuple(f"0x{k.state.address:x}" for k in locks),
        sentence=_verdict_sentence(len(threads), len(locks)),
        signature_parts=(*lock_parts(locks, threads, facts), *sorted({n.kind for n in others})),
    )


def _title(threads: Sequence[Thread], locks: Sequence[LockFact], others: Sequence[Node]) -> str:
    if len(threads) == 1:
        return f"Thread {threads[0].index} waits for {locks[0].label}, which it holds itself."
    if not others:
        return f"{len(threads)} threads wait for each other's locks: a deadlock of {len(locks)} locks."
    if not locks:
        return f"{len(threads)} threads wait for each other to end."
    ends = wording.plural(len(others), "join", "joins")
    return f"{len(threads)} threads wait for each other: a deadlock of {wording.plural(len(locks), 'lock')} and {ends}."


def _usual_cause(alone: bool, joins: bool) -> str:
    if alone:
        return "The same code entered twice, or a release that was skipped."
    if joins:
        return "A thread that waits for another's end while it holds, or is, what that one needs."
    return "Locks taken in different orders by different threads."


def _open_question(alone: bool, joins: bool) -> str:
    if alone:
        return "Where the lock was taken the first time."
    return (
        "Which of the waits should not be there."
        if joins
        else "Which of the threads took its locks in the wrong order."
    )


def _waits(facts: Facts, thread: Thread, lock: LockFact) -> bool:
    return any(w.thread is thread for w in lock.waiters)


def _sentence(facts: Facts, thread: Thread, edges: Sequence[Edge], by_node: Dict[Node, LockFact]) -> str:
    node = thread_node(thread)
    frame = first_own_frame(thread.frames())
    where = f", in {plain(frame.function)}" if frame is not None and frame.function else ""
    held = [by_node[e.source].label for e in edges if e.target == node and e.source in by_node]
    wanted = [facts.graph.nodes[e.target] for e in edges if e.source == node]
    holds = f" holds {_labels(held)} and" if held else ""
    return f"{wording.tid_words(thread).capitalize()}{holds} waits for {_labels(wanted)}{where}."


def _labels(labels: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(labels))


def _evidence(
    facts: Facts, edges: Sequence[Edge], by_node: Dict[Node, LockFact], by_thread: Dict[Node, Thread]
) -> List[Evidence]:
    """The owners first, then who waits for what, each in the order of the graph."""
    found: List[Evidence] = []
    for edge in edges:
        lock = by_node.get(edge.source)
        if lock is not None and lock.owner is not None:
            owner = wording.owner_evidence(lock, f"the owner of {lock.label} is thread {lock.owner.index}")
            if owner is not None and owner not in found:
                found.append(owner)
    for edge in edges:
        if edge.source not in by_thread or not isinstance(edge.fact, Wait):
            continue
        wanted = by_node.get(edge.target)
        label = wanted.label if wanted is not None else facts.graph.nodes[edge.target]
        found.append(wait_evidence(facts, edge.fact, label))
    return found


def wait_evidence(facts: Facts, wait: Wait, label: str) -> Evidence:
    """One thread's wait for one lock, or for something else that can be named."""
    argument = facts.process.arch.syscall_arguments[3 if wait.call.kind == "psynch-condition" else 0]
    value = wait.thread.registers.get(argument)
    what = f"thread {wait.thread.index} waits for {label}"
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
