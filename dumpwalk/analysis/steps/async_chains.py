"""Awaiting methods: the chains that threads block on, what these end at, and whether anybody is left to end them.

The heap is searched for tasks only where a thread blocks on one, or the user asks for all chains.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional

from dumpwalk.analysis.async_look import AsyncLook, BlockedChain, Bound
from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import LockLook, ManagedSurroundings, PoolLook
from dumpwalk.analysis.step import Step
from dumpwalk.claims.model import Coverage
from dumpwalk.core.names import plural
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.coreclr.tasks import census
from dumpwalk.coreclr.tasks import unwatched as unwatched_chains
from dumpwalk.coreclr.tasks.awaited import Awaited
from dumpwalk.coreclr.tasks.chain import OPEN, Node
from dumpwalk.coreclr.tasks.chains import ChainReader
from dumpwalk.coreclr.tasks.contexts import Contexts
from dumpwalk.coreclr.tasks.heap import TaskTable, scan_heap
from dumpwalk.coreclr.tasks.machine import Machines
from dumpwalk.coreclr.tasks.referrers import Referrers
from dumpwalk.coreclr.tasks.running import Running, running_tasks
from dumpwalk.coreclr.tasks.stuck import Judge, is_stuck
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.tasks.waits import TaskWait
from dumpwalk.coreclr.threadpool.queues import QueuedItem
from dumpwalk.coreclr.types.containing import heap_bounds

WANTED = "async"
"""What the user asks for who wants all chains of the heap."""


class _Heap:
    """The tasks of the heap, searched for when the first one asks."""

    def __init__(self, around: Surroundings, machines: Machines) -> None:
        self._around, self._machines = around, machines
        self._table: Optional[TaskTable] = None

    def table(self) -> TaskTable:
        if self._table is None:
            self._table = scan_heap(self._around.process.memory, self._around.view, self._machines)
        return self._table


def _look(known: Gathered) -> AsyncLook:
    around, pool = known.of(ManagedSurroundings).around, known.of(PoolLook).pool
    if around is None:
        return AsyncLook(why="the runtime's threads are not known")
    if not around.task_waits and WANTED not in known.wants:
        return AsyncLook(why="no thread is shown to block on a task")
    tasks = Tasks(around.view)
    machines = Machines(around.view)
    heap = _Heap(around, machines)
    queued: Dict[int, QueuedItem] = {item.address: item for item in (pool.queues.items if pool is not None else ())}
    running = _running(around, tasks)
    awaited = Awaited(tasks, machines, heap.table, queued, running)
    contexts = Contexts(around, tasks, running.values())
    reader = ChainReader(awaited, contexts)
    referrers = _referrers(known, around, heap)
    judge = Judge(tasks, referrers, around.task_waits)
    tops = [(wait, _top(reader, wait)) for wait in around.task_waits.values()]
    judge.search([top for _, top in tops])
    blocked = [_blocked(judge, contexts, wait, top) for wait, top in tops]
    waited = {task.address: index for index, wait in around.task_waits.items() for task in wait.tasks}
    counted = census.take(tasks, machines, heap.table(), queued, waited)
    unwatched = unwatched_chains.look(tasks, referrers, counted.groups) if WANTED in known.wants else []
    return AsyncLook(tuple(blocked), counted, lacks=counted.lacks, unwatched=tuple(unwatched))


def _running(around: Surroundings, tasks: Tasks) -> Dict[int, Running]:
    found: Dict[int, Running] = {}
    for thread in around.process.threads:
        for running in running_tasks(around, tasks, thread) if around.record(thread) is not None else ():
            found.setdefault(running.task.address, running)
    return found


def _referrers(known: Gathered, around: Surroundings, heap: _Heap) -> Referrers:
    table = known.of(RuntimeView).table
    first = next((task.address for wait in around.task_waits.values() for task in wait.tasks), 0)
    first = first or next(iter(heap.table().addresses), 0)
    bounds = heap_bounds(known.process.memory, table.entries if table is not None else (), first)
    core = known.process.corefile
    whole: Optional[str] = None
    if core is not None and (core.truncated or core.kind not in ("heap", "full")):
        whole = "this dump does not hold all memory that could refer to it"
    elif not known.process.threads_complete:
        whole = "threads are missing from the dump, and their stacks could refer to it"
    return Referrers(around, bounds, whole)


def _top(reader: ChainReader, wait: TaskWait) -> Node:
    chains: List[Node] = [reader.chain(task.address) for task in wait.tasks]
    return chains[0] if len(chains) == 1 else Node(0, "all", "Task.WaitAll", below=tuple(chains))


def _blocked(judge: Judge, contexts: Contexts, wait: TaskWait, top: Node) -> BlockedChain:
    ends = judge.ends(top)
    looks = {id(look.end): look.nobody for look in ends}
    bound = tuple(found for found in (_bound(contexts, node) for node in top.nodes()) if found is not None)
    return BlockedChain(wait.thread, wait, top, tuple(ends), not wait.timed and is_stuck(top, looks), bound)


def _bound(contexts: Contexts, node: Node) -> Optional[Bound]:
    posted = node.end is not None and node.end.kind == "posted"
    context = node.end.address if node.end is not None and posted else node.context
    thread = contexts.thread_of(context) if context else None
    if context is None or thread is None or (not posted and contexts.is_scheduler(context)):
        return None  # a scheduler may run it beside what it runs now
    name = contexts.type_name(context)
    if posted and node.end is not None:
        how = node.end.how
    else:
        how = f"{node.what} goes on in the {name} 0x{context:x} (by its continuation)"
    how += contexts.relation(context, thread)
    return Bound(node, context, name, thread, posted, how)


def _covers(known: Gathered) -> Iterator[Coverage]:
    if known.runtime is None:
        return
    look, around = known.of(AsyncLook), known.of(ManagedSurroundings).around
    if look.census is None:
        asked = around is None or around.task_waits
        yield Coverage("async", "none" if asked else "complete", look.why)
        return
    open_questions = [one.open_question for one in look.blocked if one.open_question is not None]
    left = sum(node.left_out for one in look.blocked for node in one.chain.nodes())
    unsearched = sum(1 for one in look.blocked for end in one.ends if end.end.kind in OPEN and end.reach is None)
    lacks = list(dict.fromkeys([*look.census.lacks, *open_questions]))
    if known.process.corefile is not None and known.process.corefile.evidence is not None:
        lacks.append("of the heap the evidence core holds the tasks that its own analysis found")
    if left:
        lacks.append(f"{left:,} more tasks that threads wait for were not followed")
    if unsearched:
        lacks.append(f"of {plural(unsearched, 'end')} of chains it was not searched who leads to them")
    what = plural(look.census.chains, "chain of awaiting methods", "chains of awaiting methods")
    many = f"{plural(len(look.blocked), 'thread blocks', 'threads block')} on a task"
    searched = f"{look.census.searched / (1 << 20):,.1f} MiB searched for tasks"
    yield Coverage("async", "partial" if lacks else "complete", "; ".join([what, many, searched, *lacks[:6]]))


STEP = Step(
    name="awaiting methods",
    rank=97,
    gives=AsyncLook,
    needs=(RuntimeView, ManagedSurroundings, LockLook, PoolLook),
    look=_look,
    instead=lambda known: AsyncLook(why="there was no time for it"),
    covers=_covers,
    areas=("async",),
    share=0.5,
    applies=lambda known: known.runtime is not None,
)
