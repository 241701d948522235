"""What each key means."""

from __future__ import annotations

from dumpwalk.claims.words import GRADES_TOLD

WORDS = {
    "Report.wait_graph": "Who waits for what.",
    "GraphNode.id": "Name of the node in this graph.",
    "GraphNode.kind": "thread, lock, gc or chain.",
    "GraphNode.label": "For people.",
    "GraphNode.thread": "threads[].index of a thread.",
    "GraphNode.lock": "locks[].address of a lock.",
    "GraphEdge.from": "Node id.",
    "GraphEdge.to": "Node id.",
    "GraphEdge.grade": f"{GRADES_TOLD}.",
    "GraphEdge.how": "How it is known.",
    "GraphEdge.kind": "waits (for a lock or gc), held-by (a thread), suspends (a thread), walks (a chain).",
    "WaitGraph.nodes": "Threads, locks, chains, a suspension.",
    "WaitGraph.edges": "Each points from who waits to what is waited for.",
    "WaitGraph.cycles": "Circles of node ids; each one is a deadlock.",
}
