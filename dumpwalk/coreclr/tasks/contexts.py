"""SynchronizationContexts: which thread has which, and what stands in one and has not run.

A method that awaits under a SynchronizationContext goes on by Post to it. Where a thread has the context as its current one
and blocks, what is posted there waits for that thread, if the context runs it on that thread only, as a window's does: that
is the context's code, and not in memory. Sources: Thread.cs (_synchronizationContext), TaskContinuation.cs
(SynchronizationContextAwaitTaskContinuation.m_syncContext), of 3.1 to 10.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.coreclr.thread_names import thread_objects
from dumpwalk.coreclr.words import NotRead

_BASE = "System.Threading.SynchronizationContext"
"""The base class itself posts to the thread pool, and to no thread."""
_CONTINUATION = "System.Threading.Tasks.SynchronizationContextAwaitTaskContinuation"
_OBJECT_WORDS = 4096


class Contexts:
    """The contexts of one process. Nothing raises."""

    def __init__(self, around: Surroundings, tasks: Tasks) -> None:
        self._around, self._tasks = around, tasks
        self._of_thread: Optional[Dict[int, Thread]] = None

    def thread_of(self, context: int) -> Optional[Thread]:
        """The one thread that has a context as its current one; None for none, for several, and for the base class."""
        return self.all().get(context)

    def all(self) -> Dict[int, Thread]:
        """Contexts by address that one thread has."""
        if self._of_thread is None:
            found: Dict[int, List[Thread]] = {}
            around = self._around
            objects = thread_objects(around.view, around.managed)
            for record in around.managed.threads:
                obj, thread = objects.get(record.address), around.thread_of(record)
                context = self._tasks.reference(obj, "_synchronizationContext") if obj and thread else None
                if context and thread is not None and around.view.definition_of(context) != _BASE:
                    found.setdefault(context, []).append(thread)
            self._of_thread = {context: threads[0] for context, threads in found.items() if len(threads) == 1}
        return self._of_thread

    def type_name(self, context: int) -> str:
        name = self._around.view.type_of(context)
        return name if isinstance(name, str) else "SynchronizationContext"

    def captured(self, awaited: int, method: int) -> Optional[int]:
        """The context in which a method goes on when what it awaits is done; None where it captured none."""
        tasks = self._tasks
        for continuation in tasks.continuations(awaited) if tasks.is_task(awaited) else ():
            if tasks.view.definition_of(continuation) == _CONTINUATION:
                action = tasks.reference(continuation, "m_action")
                if action and tasks.reference(action, "_target") == method:
                    return tasks.reference(continuation, "m_syncContext") or None
        return None

    def posted(self, method: int) -> Optional[Tuple[int, Thread, int]]:
        """(context, its thread, where) of a method that stands in a context and has not been run."""
        for context, thread in self.all().items():
            where = self._inside(context, method)
            if where is not None:
                return context, thread, where
        return None

    def _inside(self, context: int, method: int) -> Optional[int]:
        """The address of the word below a context that names the method's delegate. Bounded."""
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
                name = view.definition_of(word)
                if name == "System.Action" and self._tasks.reference(word, "_target") == method:
                    return obj + 8 + 8 * index
                if isinstance(name, str) and not name.startswith("System.Reflection"):
                    seen.add(word)
                    work.append(word)
        return None
