"""lock-cycle: threads wait for each other's locks, or one waits for a non-recursive lock that it owns.

The ring may go through anything that one known thread must end: locks of any kind, the writers that wait before a reader, a
class initialiser, the end of a thread (join), the queue of finalizers.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk.analysis.async_look import Bound
from dumpwalk.analysis.facts import Facts, LockFact, thread_node
from dumpwalk.analysis.wait_graph import queue_node, upgrade_node
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.finalizers import SHUT_DOWN
from dumpwalk.dataclass import dataclass
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.signature import resource_parts
from dumpwalk.locks.graph import Edge, Node
from dumpwalk.locks.syscalls import time_limit
from dumpwalk.locks.waits import Wait

KIND = "lock-cycle"
SENTENCE = "threads wait for each other's locks"
SELF_SENTENCE = "a thread waits for a lock that it holds itself"
TIMED_SENTENCE = "threads wait for each other's locks until one of them gives up"
JOIN_SENTENCE = "threads wait for each other to end"
MIXED_SENTENCE = "threads wait for each other's locks and for each other to end"
CONTEXT_SENTENCE = "a thread waits for what its own SynchronizationContext or TaskScheduler has to run"
OTHER_SENTENCE = "threads wait for each other's locks and for what others of them run"


@dataclass
class _Ring:
    """A cycle of the graph, taken apart: threads in order, and between two of them what the first waits for."""

    nodes: Tuple[Node, ...]
    threads: List[Thread]
    waited: List[Node]
    """What each thread waits for."""
    waits: List[Edge]
    held: List[Edge]
    """From what each waits for to the next thread."""


def detect(facts: Facts) -> List[Finding]:
    by_node = {k.node: k for k in facts.locks}
    queues = {node: k for k in facts.locks for node in (queue_node(k), upgrade_node(k))}
    threads = {thread_node(t): t for t in facts.process.threads}
    rings = [r for r in (_ring(facts, cycle, threads) for cycle in facts.graph.cycles()) if r is not None]
    rings = [ring for ring in rings if not _enters_again(ring, by_node)]
    behind = facts.graph.behind([ring.nodes for ring in rings])
    return [
        _finding(facts, ring, by_node, queues, after) for ring, after in wording.told_in_full(list(zip(rings, behind)))
    ]


def _enters_again(ring: _Ring, by_node: Dict[Node, LockFact]) -> bool:
    """One thread and a lock that it may take twice, or that it does not wait for."""
    lock = by_node.get(ring.waited[0])
    return len(ring.threads) == 1 and lock is not None and (lock.state.recursive or not _waits(ring.threads[0], lock))


def _finding(
    facts: Facts,
    ring: _Ring,
    by_node: Dict[Node, LockFact],
    queues: Dict[Node, LockFact],
    after: Sequence[Node],
) -> Finding:
    locks = [by_node[node] for node in ring.waited if node in by_node]
    alone = len(ring.threads) == 1
    others = [node for node in ring.waited if node not in by_node and node not in queues]
    proved = all(e.grade == "proved" for e in (*ring.waits, *ring.held))
    timed = [t for t, edge in zip(ring.threads, ring.waits) if _gives_up(edge)]
    bound = [edge.fact for edge in ring.held if isinstance(edge.fact, Bound)]
    evidence = _evidence(facts, ring, by_node)
    behind = [n for n in after if n.kind == "thread"]
    summary = [_sentence(facts, ring, position, by_node) for position in range(len(ring.threads))]
    steps = len(summary)
    if behind:
        waits = wording.plural(len(behind), "more thread waits", "more threads wait")
        numbers = ("thread " if len(behind) == 1 else "threads ") + wording.ranges(node.number for node in behind)
        summary.append(f"{waits} behind {'it' if alone else 'them'}: {numbers}.")
    if timed:
        one = len(timed) == 1
        told = time_limit(
            facts.process, next(e.fact.call for e in ring.waits if _gives_up(e) and isinstance(e.fact, Wait))
        )
        end = "gives up by itself" if one else "give up by themselves"
        summary.append(f"{wording.thread_words(timed).capitalize()} {end}: {told or 'with a time-out'}.")
    return Finding(
        id=f"{KIND}-{ring.threads[0].index}",
        kind=KIND,
        confidence="proved" if proved else "corroborated",
        title=_title(facts, ring, by_node, others, timed),
        observed=tuple(summary[:steps]),
        therefore=_therefore(alone, bool(locks), bool(timed), bool(bound)),
        consistent_with=(_usual_cause(alone, others, bool(bound)),),
        not_established=_open_questions(alone, bool(others), bool(timed), bool(bound)),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="hang" if proved and not timed else "suspicious",
        summary=tuple(summary),
        actors=tuple(Actor(t.index, "holder") for t in ring.threads) + tuple(Actor(n.number, "waiter") for n in behind),
        locks=tuple(f"0x{k.state.address:x}" for k in locks),
        sentence=_verdict_sentence(ring, others, bool(timed)),
        signature_parts=tuple(resource_parts(facts, ring.waited, {**by_node, **queues}, ring.threads)),
    )


def _ring(facts: Facts, cycle: Tuple[Node, ...], threads: Dict[Node, Thread]) -> Optional[_Ring]:
    """None for rings that go through a suspension or through something that is no step from thread to thread."""
    edges: Dict[Tuple[Node, Node], Edge] = {}
    for edge in facts.graph.among(cycle):
        known = edges.get((edge.source, edge.target))
        if known is None or (known.grade != "proved" and edge.grade == "proved"):
            edges[(edge.source, edge.target)] = edge
    start = next((i for i, node in enumerate(cycle) if node in threads), None)
    if start is None or len(cycle) % 2 or any(node.kind in ("gc", "chain") for node in cycle):
        return None
    turned = (*cycle[start:], *cycle[:start])
    ring = _Ring(cycle, [], [], [], [])
    for position in range(0, len(turned), 2):
        thread, waited, following = turned[position], turned[position + 1], turned[(position + 2) % len(turned)]
        if thread not in threads or waited in threads or following not in threads:
            return None
        ring.threads.append(threads[thread])
        ring.waited.append(waited)
        ring.waits.append(edges[(thread, waited)])
        ring.held.append(edges[(waited, following)])
    return ring


def _gives_up(edge: Edge) -> bool:
    """The wait has a time-out. A spinner that sleeps between two tries does not give up."""
    wait = edge.fact
    return isinstance(wait, Wait) and wait.timed and wait.kind != "spinlock"


def _label(facts: Facts, node: Node, by_node: Dict[Node, LockFact]) -> str:
    return by_node[node].label if node in by_node else facts.graph.nodes.get(node, node.id)


def _title(
    facts: Facts, ring: _Ring, by_node: Dict[Node, LockFact], others: Sequence[Node], timed: Sequence[Thread]
) -> str:
    if len(ring.threads) == 1:
        label = _label(facts, ring.waited[0], by_node)
        if ring.waited[0] in by_node:
            return f"Thread {ring.threads[0].index} waits for {label}, which it holds itself."
        if isinstance(ring.held[0].fact, Bound):
            context = ring.held[0].fact.type_name
            return (
                f"Thread {ring.threads[0].index} waits for {label}, which goes on only in that thread's own {context}."
            )
        return f"Thread {ring.threads[0].index} waits for {label}: its own."
    locks = len({node for node in ring.waited if node in by_node})
    count = len(ring.threads)
    if not others:
        what = f"{count} threads wait for each other's locks: a deadlock of {locks} locks"
    elif not locks and all(node.kind == "thread-end" for node in others):
        what = f"{count} threads wait for each other to end"
    elif all(node.kind == "thread-end" for node in others):
        ends = wording.plural(len(others), "join", "joins")
        what = f"{count} threads wait for each other: a deadlock of {wording.plural(locks, 'lock')} and {ends}"
    else:
        what = f"{count} threads wait for each other: a deadlock"
    return f"{what} until a wait gives up." if timed else f"{what}."


def _therefore(alone: bool, lock: bool, timed: bool, bound: bool) -> Tuple[str, ...]:
    if timed:
        return ("None of them can go on before another does or gives up.",)
    if bound:
        who = "that thread waits" if alone else "those threads wait"
        return (f"It goes on when its context's thread runs what is posted there, and {who} for it.",)
    if not alone:
        return ("None of them can go on before another does, so none ever will.",)
    if lock:
        return ("The lock is not recursive, so the wait for it never ends.",)
    return ("What it waits for is its own end, so the wait never ends.",)


def _verdict_sentence(ring: _Ring, others: Sequence[Node], timed: bool) -> Optional[str]:
    """Locks alone, one thread alone, or locks and other waits mixed."""
    if len(ring.threads) == 1:
        return CONTEXT_SENTENCE if isinstance(ring.held[0].fact, Bound) else SELF_SENTENCE
    if timed:
        return TIMED_SENTENCE
    if not others:
        return SENTENCE
    if any(node.kind != "thread-end" for node in others):
        return OTHER_SENTENCE
    return MIXED_SENTENCE if len(others) < len(ring.waited) else JOIN_SENTENCE


def _usual_cause(alone: bool, others: Sequence[Node], bound: bool) -> str:
    if bound:
        return "A blocking call (Wait, Result) for an async method or a task on a thread whose context has to run that."
    if alone:
        return "The same code entered twice, or a release that was skipped."
    if SHUT_DOWN in others:
        return "Environment.Exit called under a lock that a handler of the process's end wants."
    if any(node.kind == "finalizer" for node in others):
        return "A finalizer that takes a lock, and a wait for finalizers under that lock."
    if others:
        return "A thread that waits for another's end while it holds, or is, what that one needs."
    return "Locks taken in different orders by different threads."


def _open_questions(alone: bool, others: bool, timed: bool, bound: bool) -> Tuple[str, ...]:
    if bound:
        return ("Whether the context runs what is posted to it on that thread only: that is its own code.",)
    if alone:
        first = "Where the lock was taken the first time."
    elif others:
        first = "Which of the waits should not be there."
    else:
        first = "Which of the threads took its locks in the wrong order."
    return (first, "When the wait gives up, and what the program does then.") if timed else (first,)


def _waits(thread: Thread, lock: LockFact) -> bool:
    return any(w.thread is thread for w in lock.waiters)


def _sentence(facts: Facts, ring: _Ring, position: int, by_node: Dict[Node, LockFact]) -> str:
    thread = ring.threads[position]
    has = ring.waited[position - 1]
    wanted = _label(facts, ring.waited[position], by_node)
    who = wording.person(facts, thread)
    place = wording.place(facts, thread)
    lock, bound = by_node.get(has), ring.held[position - 1].fact
    if has.kind == "lock-upgrade":
        lock = by_node.get(Node("lock", has.number))
    if lock is not None and lock.kind == "class-init":
        holds = f"runs {lock.label}"
    elif lock is not None:
        holds = f"holds {lock.label}"
    elif has == SHUT_DOWN:
        holds = "runs the handlers of the process's end"
    elif has.kind == "finalizer":
        holds = "runs the finalizers"
    elif has.kind == "lock-queue":
        holds = "is the writer before it"
    elif isinstance(bound, Bound):
        holds = f"has the {bound.type_name} in which {_label(facts, has, by_node)} goes on"
    elif has.kind == "task":
        holds = f"runs what {_label(facts, has, by_node)} needs"
    else:
        holds = ""
    return f"{who} {holds} and waits for {wanted}{place}." if holds else f"{who} waits for {wanted}{place}."


def _evidence(facts: Facts, ring: _Ring, by_node: Dict[Node, LockFact]) -> List[Evidence]:
    found: List[Evidence] = []
    count = len(ring.threads)
    for position, node in enumerate(ring.waited):
        following = ring.threads[(position + 1) % count]
        lock = by_node.get(node)
        if lock is not None:
            found.extend(
                wording.holder_evidence(lock, following, f"the owner of {lock.label} is thread {following.index}")
            )
        else:
            edge = ring.held[position]
            what = f"{_label(facts, node, by_node)} depends on thread {following.index}"
            found.append(Evidence(what, None, None, edge.how, edge.grade))
    for thread, edge, node in zip(ring.threads, ring.waits, ring.waited):
        if isinstance(edge.fact, Wait):
            what = f"thread {thread.index} waits for {_label(facts, node, by_node)}"
            found.append(wording.wait_evidence(facts, edge.fact, what))
    return found


DETECTOR = Detector(
    KIND,
    40,
    {"hang": SENTENCE, "suspicious": SENTENCE},
    "hang (10); suspicious (11) where a step is not proved or a wait gives up by itself",
    detect,
)
