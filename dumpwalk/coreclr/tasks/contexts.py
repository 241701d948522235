"""SynchronizationContexts and TaskSchedulers: which thread has which, and what stands in one and has not run.

A method that awaits under a SynchronizationContext goes on by Post to it. Where a thread has the context as its current one
and blocks, what is posted there waits for that thread, if the context runs it on that thread only, as a window's does: that
is the context's code, and not in memory. It is the same with a TaskScheduler of which one thread runs a task now: whether it
would run another one beside it is its code. Sources: Thread.cs (_synchronizationContext), Task.cs (m_taskScheduler),
TaskContinuation.cs (SynchronizationContextAwaitTaskContinuation.m_syncContext, TaskSchedulerAwaitTaskContinuation.m_scheduler),
of 3.1 to 10.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.tasks.running import Running
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.thread_names import thread_objects
from dumpwalk.coreclr.words import NotRead

_BASE = "System.Threading.SynchronizationContext"
"""The base class itself posts to the thread pool, and to no thread."""
_POOL = "System.Threading.Tasks.ThreadPoolTaskScheduler"
_CONTINUATIONS = {
    "System.Threading.Tasks.SynchronizationContextAwaitTaskContinuation": "m_syncContext",
    "System.Threading.Tasks.TaskSchedulerAwaitTaskContinuation": "m_scheduler",
}
"""Types of continuations, and the field that names where the method goes on."""
_OBJECT_WORDS = 4096


class Contexts:
    """The contexts and schedulers of one process. Nothing raises."""

    def __init__(self, around: Surroundings, tasks: Tasks, running: Iterable[Running] = ()) -> None:
        self._around, self._tasks, self._running = around, tasks, tuple(running)
        self._schedulers: Set[int] = set()
        self._of_thread: Optional[Dict[int, Thread]] = None

    def thread_of(self, context: int) -> Optional[Thread]:
        """The one thread that has a context as its current one, or runs a task of a scheduler; None for none, for several,
        and for the base class and the pool's scheduler."""
        return self.all().get(context)

    def all(self) -> Dict[int, Thread]:
        """Contexts and schedulers by address that one thread has."""
        if self._of_thread is None:
            found: Dict[int, List[Thread]] = {}
            around = self._around
            objects = thread_objects(around.view, around.managed)
            for record in around.managed.threads:
                obj, thread = objects.get(record.address), around.thread_of(record)
                context = self._tasks.reference(obj, "_synchronizationContext") if obj and thread else None
                if context and thread is not None and around.view.definition_of(context) != _BASE:
                    found.setdefault(context, []).append(thread)
            for running in self._running:
                scheduler = self._tasks.reference(running.task.address, "m_taskScheduler")
                if scheduler and around.view.definition_of(scheduler) not in (_POOL, None):
                    self._schedulers.add(scheduler)
                    if running.thread not in found.setdefault(scheduler, []):
                        found[scheduler].append(running.thread)
            self._of_thread = {context: threads[0] for context, threads in found.items() if len(threads) == 1}
        return self._of_thread

    def type_name(self, context: int) -> str:
        name = self._around.view.type_of(context)
        return name if isinstance(name, str) else "SynchronizationContext"

    def is_scheduler(self, context: int) -> bool:
        """Whether it is a TaskScheduler, one of whose tasks a thread runs."""
        self.all()
        return context in self._schedulers

    def relation(self, context: int, thread: Thread) -> str:
        """`, which is the _synchronizationContext of thread 9`."""
        if context in self._schedulers:
            return f", a task of which thread {thread.index} runs (its m_taskScheduler)"
        return f", which is the _synchronizationContext of thread {thread.index}"

    def captured(self, awaited: int, method: int) -> Optional[int]:
        """The context in which a method goes on when what it awaits is done; None where it captured none."""
        tasks = self._tasks
        for continuation in tasks.continuations(awaited) if tasks.is_task(awaited) else ():
            name = tasks.view.definition_of(continuation)
            field = _CONTINUATIONS.get(name) if isinstance(name, str) else None
            if field is not None:
                action = tasks.reference(continuation, "m_action")
                if action and tasks.reference(action, "_target") == method:
                    return tasks.reference(continuation, field) or None
        return None

    def posted(self, method: int) -> Optional[Tuple[int, Thread, int]]:
        """(context, its thread, where) of a method that stands in a context and has not been run."""
        for context, thread in self.all().items():
            where = self._inside(context, method)
            if where is not None:
                return context, thread, where
        return None

    def scheduled(self, task: int) -> Optional[Tuple[int, Thread, int]]:
        """The same of a task that has not begun and stands in its scheduler."""
        scheduler = self._tasks.reference(task, "m_taskScheduler")
        thread = self.all().get(scheduler) if scheduler else None
        where = self._inside(scheduler, task) if scheduler and thread is not None else None
        return (scheduler, thread, where) if scheduler and thread is not None and where is not None else None

    def _inside(self, context: int, method: int) -> Optional[int]:
        """The address of the word below a context that names a task, or the method's delegate. Bounded."""
        view, seen, work = self._around.view, {context}, [context]
        while work and len(seen) < limits.CONTEXT_OBJECTS:
            obj = work.pop(0)
            size = view.size_of(obj)
            count = min(size // 8, _OBJECT_WORDS) if isinstance(size, int) else 0
            try:
                words = view.words.many(obj + 8, count - 1, "an object") if count > 1 else ()
            except NotRead:
                continue
            for index, word in enumerate(words):
                if word < 0x10000 or word % 8 or word in seen:
                    continue
                if word == method:
                    return obj + 8 + 8 * index
                name = view.definition_of(word)
                if name == "System.Action" and self._tasks.reference(word, "_target") == method:
                    return obj + 8 + 8 * index
                if isinstance(name, str) and not name.startswith("System.Reflection"):
                    seen.add(word)
                    work.append(word)
        return None
