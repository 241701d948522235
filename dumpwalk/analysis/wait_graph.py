"""The wait-for graph of the facts: threads, what they wait for, who holds that, and a suspension under way."""

from __future__ import annotations

from typing import Dict, Iterable, Optional, Sequence

from dumpwalk.analysis.facts import LockFact, Suspension, thread_node
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.locks.graph import Edge, Graph, Node
from dumpwalk.locks.waits import Wait

GC = Node("gc", 0)
_PARTS = {
    "lock-queue": ", behind the writers that wait for it",
    "lock-upgrade": ", behind its upgradeable reader",
}
_READS, _WRITES = ("read", "upgradeable read"), ("write", "upgrade")


def build(
    locks: Sequence[LockFact],
    waits: Sequence[Wait],
    write_lock: Optional[LockFact],
    walkers: Sequence[Walker],
    suspension: Optional[Suspension],
    more: Iterable[Edge] = (),
    labels: Optional[Dict[Node, str]] = None,
) -> Graph:
    """`more` are edges that kinds of locks proved of their own, `labels` words for nodes that are no thread and no lock."""
    graph = Graph()
    for lock in locks:
        _lock(graph, lock)
    _walks(graph, write_lock, walkers)
    _suspension(graph, suspension)
    more = list(more)
    led_on = {edge.source for edge in more}
    for wait in waits:
        if wait.explained and wait.target not in led_on:
            continue  # nobody owns it, so the graph has nothing to say of it
        if wait.lock is None and wait.target is not None:
            _other(graph, wait.target, labels)
            graph.add(Edge(_thread(graph, wait.thread), wait.target, "waits", wait.grade, wait.how, wait))
    for edge in more:
        for node in (edge.source, edge.target):
            _other(graph, node, labels)
        graph.add(edge)
    return graph


def queue_node(lock: LockFact) -> Node:
    """What the readers of a reader-writer lock wait for when nobody writes: the writers that wait before them."""
    return Node("lock-queue", lock.state.address)


def upgrade_node(lock: LockFact) -> Node:
    """What a thread waits for that wants to be the upgradeable reader and is kept out by the one that is."""
    return Node("lock-upgrade", lock.state.address)


def _lock(graph: Graph, lock: LockFact) -> None:
    graph.nodes.setdefault(lock.node, lock.label)
    waited = set()
    for wait in lock.waiters:
        node = _waited(lock, wait)
        waited.add(node)
        graph.nodes.setdefault(node, lock.label + _PARTS.get(node.kind, ""))
        graph.add(Edge(_thread(graph, wait.thread), node, "waits", wait.grade, wait.how, wait))
    waiting = {wait.thread.index for wait in lock.waiters}
    for holder in lock.holders:
        word = holder.owner.word
        if holder.thread is not None and word is not None:
            node, how = _thread(graph, holder.thread), word.phrase()
            again = lock.state.recursive and holder.thread.index in waiting
            graph.add(Edge(lock.node, node, "held-by", holder.owner.grade, how, holder.owner, again))
            if holder.owner.holding == "upgradeable" and upgrade_node(lock) in waited:
                graph.add(Edge(upgrade_node(lock), node, "held-by", holder.owner.grade, how, holder.owner))
    for wait in lock.waiters if queue_node(lock) in waited else ():
        if wait.wants in _WRITES:
            how = f"it waits to {wait.wants}, and no reader is let in before it; {wait.how}"
            graph.add(Edge(queue_node(lock), _thread(graph, wait.thread), "ended-by", wait.grade, how, wait))


def _waited(lock: LockFact, wait: Wait) -> Node:
    """The lock, or that part of it which keeps this thread out. A reader is kept out by a writer that has the lock or waits for
    it, never by other readers; one that wants to be the upgradeable reader by the one that is, too (ReaderWriterLockSlim.cs:
    TryEnterReadLockCore, TryEnterUpgradeableReadLockCore)."""
    holding = {holder.owner.holding for holder in lock.holders}
    if wait.wants not in _READS or "exclusive" in holding:
        return lock.node
    return upgrade_node(lock) if "upgradeable" in holding and wait.wants != "read" else queue_node(lock)


def _thread(graph: Graph, thread: Thread) -> Node:
    node = thread_node(thread)
    graph.nodes.setdefault(node, f"thread {thread.index}")
    return node


def _other(graph: Graph, node: Node, labels: Optional[Dict[Node, str]]) -> None:
    plain = f"thread {node.number}" if node.kind == "thread" else node.id.replace("-", " ")
    graph.nodes.setdefault(node, (labels or {}).get(node, plain))


def _walks(graph: Graph, write_lock: Optional[LockFact], walkers: Sequence[Walker]) -> None:
    for walker in walkers:
        if walker.cycle is None or not (walker.stuck or walker.likely):
            continue
        if write_lock is not None and walker.stuck and walker.writer and not walker.owns_lock:
            held = f"{walker.function} walks under this lock only, and it is held"
            graph.add(Edge(write_lock.node, thread_node(walker.thread), "held-by", "inferred", held, walker))
        chain = Node("chain", walker.cycle.bucket)
        thread = _thread(graph, walker.thread)
        graph.nodes.setdefault(chain, f"bucket {walker.cycle.bucket}: a loop of {walker.cycle.length}")
        how = f"{walker.cursor_register} = 0x{walker.cursor or 0:x}, a node of the loop"
        graph.add(Edge(thread, chain, "walks", "proved" if walker.stuck else "inferred", how, walker))


def _suspension(graph: Graph, suspension: Optional[Suspension]) -> None:
    if suspension is None:
        return
    graph.nodes.setdefault(GC, "suspension of all managed threads")
    if suspension.suspender is not None:
        node = _thread(graph, suspension.suspender)
        graph.add(Edge(node, GC, "waits", suspension.grade, suspension.how, suspension))
    for thread in suspension.waiting:
        node = _thread(graph, thread)
        graph.add(Edge(node, GC, "waits", "inferred", "waits for the suspension to end", suspension))
    for thread in suspension.blocking:
        node = _thread(graph, thread)
        how = "its thread object says cooperative mode"
        graph.add(Edge(GC, node, "suspends", "proved", how, suspension))
