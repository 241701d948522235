"""The chain that a task is the top of, followed down to its ends.

Bounded in nodes and depth; an object that is met again on the way from the top closes a circle, which is an end of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, List, Tuple

from dumpwalk import limits
from dumpwalk.coreclr.tasks.awaited import Awaited, Below
from dumpwalk.coreclr.tasks.chain import End, Node
from dumpwalk.coreclr.tasks.contexts import Contexts
from dumpwalk.coreclr.tasks.ends import semaphore_of, semaphore_words
from dumpwalk.coreclr.tasks.task import short_type
from dumpwalk.coreclr.words import NotRead

_NEAR = 64
"""Words of an awaiting method, and of each object that it leads to, among which its semaphore is looked for."""
_LEVELS = 3


class ChainReader:
    """Follows chains of one process. Nothing raises."""

    def __init__(self, awaited: Awaited, contexts: Contexts) -> None:
        self._awaited, self._contexts = awaited, contexts
        self._left = 0

    def chain(self, task: int) -> Node:
        self._left = limits.CHAIN_NODES_TOLD
        return self._node(task, ())

    def _node(self, obj: int, above: Tuple[int, ...]) -> Node:
        self._left -= 1
        step = self._awaited.below(obj)
        if isinstance(step, End):
            return Node(obj, "task", self._name(obj), end=self._end(step, obj, above))
        if obj in above or self._left <= 0 or len(above) >= limits.CHAIN_DEEP:
            return Node(obj, step.kind, step.what, step.await_number, end=_stopped(obj, obj in above))
        way = (*above, obj)
        below = tuple(self._node(address, way) for address in step.addresses)
        node = Node(
            obj,
            step.kind,
            step.what,
            step.await_number,
            step.grade,
            step.how,
            below,
            None,
            step.left_out,
            words=step.words,
        )
        return self._with_context(node, step)

    def _with_context(self, node: Node, step: Below) -> Node:
        """Of a method: what it awaits is its end where that is no method, and the context that it goes on in."""
        if node.kind != "method" or len(node.below) != 1:
            return node
        (child,) = node.below
        if child.end is None or child.kind != "task":
            return replace(node, context=self._contexts.captured(child.address, node.address))
        end = child.end
        context = self._contexts.captured(child.address, node.address)
        if end.kind == "over":
            posted = self._contexts.posted(node.address)
            end = self._gone_on(node, end) if posted is None else self._posted(node, *posted)
        return replace(node, below=(), end=end, context=context)

    def _posted(self, node: Node, context: int, thread: object, where: int) -> End:
        index = getattr(thread, "index", None)
        name = self._type(context)
        what = f"the {name} of thread {index}, in which it stands and has not run"
        how = f"the word at 0x{where:x}, below the context 0x{context:x}, names its delegate; what it awaits is done"
        return End("posted", context, what, "corroborated", how, thread=index)

    def _gone_on(self, node: Node, end: End) -> End:
        what = "nothing any more: what it awaits is done, and it has not gone on yet"
        return End("over", end.address, what, "corroborated", end.how)

    def _end(self, end: End, obj: int, above: Tuple[int, ...]) -> End:
        scheduled = self._contexts.scheduled(obj) if end.kind == "unstarted" else None
        if scheduled is not None:
            scheduler, thread, where = scheduled
            what = f"the {self._type(scheduler)} of which thread {thread.index} runs a task, where it stands and has not begun"
            how = f"its m_taskScheduler is 0x{scheduler:x}, and the word at 0x{where:x} below that names it"
            return End("posted", scheduler, what, "corroborated", how, thread=thread.index)
        if end.kind != "semaphore" or not above:
            return end
        semaphore = semaphore_of(self._awaited.tasks, obj, self._named_by(above[-1]))
        if semaphore is None:
            return end
        what = semaphore_words(self._awaited.tasks, semaphore)
        how = f"{end.how}; the queue of 0x{semaphore:x} begins with it or leads to it"
        return replace(end, what=what, lock=semaphore, how=how)

    def _named_by(self, obj: int) -> Iterator[int]:
        """Objects that a method's box leads to, nearest first: its machine's fields, `this`, a closure, and what these name."""
        seen, level = {obj}, [obj]
        for _ in range(_LEVELS):
            following = []
            for one in level:
                for word in self._words(one):
                    if word not in seen and len(seen) < _NEAR * _NEAR:
                        seen.add(word)
                        following.append(word)
                        yield word
            level = following

    def _words(self, obj: int) -> List[int]:
        view = self._awaited.tasks.view
        size = view.size_of(obj)
        count = min(size // 8 - 1, _NEAR) if isinstance(size, int) else 0
        try:
            words = view.words.many(obj + 8, count, "an object") if count > 0 else ()
        except NotRead:
            return []
        return [word for word in words if word > 0xFFFF and word % 8 == 0 and view.is_object(word)]

    def _name(self, obj: int) -> str:
        state = self._awaited.tasks.state(obj)
        return state.what if state is not None else short_type(self._type(obj))

    def _type(self, obj: int) -> str:
        name = self._awaited.tasks.view.type_of(obj)
        return name if isinstance(name, str) else "an object that could not be named"


def _stopped(obj: int, circle: bool) -> End:
    if circle:
        return End("cycle", obj, "a task of this very chain", "proved", f"0x{obj:x} is met again on the way down")
    return End("limit", obj, "more than is followed", "unresolved", "the limit of nodes or of depth was reached")
