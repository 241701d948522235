"""The wait-for graph of the facts: threads, what they wait for, who holds that, and a suspension under way."""

from __future__ import annotations

from typing import Dict, Iterable, Optional, Sequence

from dumpwalk.analysis.facts import LockFact, Suspension, thread_node
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.locks.graph import Edge, Graph, Node
from dumpwalk.locks.waits import Wait

GC = Node("gc", 0)


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
        graph.nodes.setdefault(lock.node, lock.label)
        for wait in lock.waiters:
            graph.add(Edge(_thread(graph, wait.thread), lock.node, "waits", wait.grade, wait.how, wait))
        for holder in lock.holders:
            word = holder.owner.word
            if holder.thread is not None and word is not None:
                node = _thread(graph, holder.thread)
                graph.add(Edge(lock.node, node, "held-by", holder.owner.grade, word.phrase(), holder.owner))
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
