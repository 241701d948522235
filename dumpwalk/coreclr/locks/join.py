"""Thread.Join: a thread waits for the end of another.

The joined System.Threading.Thread is on the stack below Join's own frame, and so is, in the runtime's JoinEx, the runtime's
Thread that its field _DONT_USE_InternalThread leads to. Both together tell which thread it is. Where Join is inlined into the
program's method, or no method has a name, the kernel object tells that it is a join: it is a thread's. Then the runtime's Thread
in the native part of the stack is the joined one, if it is the only one beside the thread's own. Source:
System.Private.CoreLib/src/System/Threading/Thread.CoreCLR.cs, src/coreclr/vm/comsynchronizable.cpp (ThreadNative::DoJoin).
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from dumpwalk.core.grade import Grade
from dumpwalk.core.names import plain
from dumpwalk.coreclr.locks.known_methods import rule_of
from dumpwalk.coreclr.locks.pal_objects import THREAD, PalWait, pal_waits
from dumpwalk.coreclr.locks.reader import AREA
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.managed_threads import ManagedThread
from dumpwalk.locks.graph import Edge, Node
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import Sighting
from dumpwalk.locks.waits import Layer, Wait

TYPE = "System.Threading.Thread"
_FIELD = "_DONT_USE_InternalThread"
_FRAMES, _NATIVE_FRAMES = 4, 16
_NATIVE_BYTES = 0x2000
_Joined = Tuple[ManagedThread, int, str, Grade, Sighting]
"""Its Thread, the object, how it was found, the grade, where on the stack."""


class JoinReader(LockReader):
    """Waits for the end of a thread."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._layers: Dict[int, Layer] = {}
        self._edges: List[Edge] = []
        self._labels: Dict[Node, str] = {}
        self._lacking: List[str] = []
        self._pal = pal_waits(around)
        for wait in around.blocked():
            if wait.thread.index not in around.resolved and self._joins(wait):
                self._join(wait)

    def _joins(self, wait: Wait) -> bool:
        """Thread.Join, or, where that is inlined into the program's own method, the runtime's function of it, or the kernel
        object that it waits for."""
        thread = wait.thread
        managed = self._around.managed_frames(thread)[:_FRAMES]
        if any(f.method.type_name == TYPE and "Join" in f.method.name for f in managed):
            return True
        names = [plain(f.function) for f in thread.frames()[:_NATIVE_FRAMES] if f.function]
        if any(name.startswith((TYPE + ".Join", "ThreadNative::DoJoin", "ThreadNative::Join")) for name in names):
            return True
        return self._of_thread(wait) is not None

    def _of_thread(self, wait: Wait) -> Optional[PalWait]:
        """The kernel object that it waits for, where that is a thread's."""
        if wait.call.kind not in ("futex", "psynch-condition", "timed-wait"):
            return None
        rule = rule_of([frame.method for frame in self._around.managed_frames(wait.thread)])
        found = self._pal.of(wait) if rule is None else None
        return found if found is not None and found.type == THREAD and found.until == "one" else None

    def _join(self, wait: Wait) -> None:
        found = self._joined(wait)
        self._around.resolved.setdefault(wait.thread.index, "join")
        if found is None:
            how = "Thread.Join is on its stack, or the kernel object that it waits for is a thread's"
            self._layers[wait.thread.index] = Layer("join", None, None, "inferred", how)
            self._lacking.append(f"thread {wait.thread.index} joins a thread that was not found on its stack")
            return
        record, obj, how, grade, seen = found
        thread = self._around.thread_of(record)
        node = Node("thread-end", thread.index if thread is not None else obj)
        number = f"thread {thread.index}" if thread is not None else "a thread that has ended"
        self._labels[node] = f"the end of {number}"
        self._layers[wait.thread.index] = Layer("join", None, None, grade, how, node, seen=seen)
        if thread is not None and not any(e.source == node for e in self._edges):
            owner = f"the Thread at 0x{record.address:x} is that of tid {record.os_tid}"
            self._edges.append(Edge(node, Node("thread", thread.index), "ended-by", "proved", owner, record))

    def _joined(self, wait: Wait) -> Optional[_Joined]:
        """The object that both the stack and the runtime's own function name comes before one that only the stack does."""
        around, thread = self._around, wait.thread
        me = around.record(thread)
        native = {s.value: s for s in reversed(around.native_part(thread, _NATIVE_BYTES))}
        found: List[_Joined] = []
        for sighting, _ in around.objects(thread, TYPE):
            value = getattr(around.view.field(sighting.value, _FIELD), "value", None)
            record = around.managed.by_address(int(value)) if value else None
            if record is None:
                continue
            second = native.get(record.address)
            how = f"below Thread.Join: {sighting.phrase()}, a System.Threading.Thread"
            grade: Grade = "proved" if second is not None else "corroborated"
            how += f"; {second.phrase()}, the runtime's Thread of it" if second is not None else ""
            found.append((record, sighting.value, how, grade, second or sighting))
        others = [joined for joined in found if joined[0] is not me]
        sure = [joined for joined in others if joined[3] == "proved"]
        if sure:
            return sure[0]
        return self._by_kernel_object(wait, me, native) or next(iter(others or found), None)

    def _by_kernel_object(
        self, wait: Wait, me: Optional[ManagedThread], native: Dict[int, Sighting]
    ) -> Optional[_Joined]:
        kernel = self._of_thread(wait)
        named = [
            (record, native[record.address]) for record in self._around.managed.threads if record.address in native
        ]
        named = [(record, seen) for record, seen in named if record is not me]
        if kernel is None or len(named) != 1:
            return None
        record, seen = named[0]
        how = f"the kernel object 0x{kernel.synch:x} that it waits for is a thread's; {seen.phrase()}, the only runtime Thread "
        return record, record.address, how + "beside its own in the native part of its stack", "proved", seen

    def layer(self, wait: Wait) -> Optional[Layer]:
        return self._layers.get(wait.thread.index)

    def edges(self) -> Iterable[Edge]:
        return self._edges

    def labels(self) -> Iterable[Tuple[Node, str]]:
        return list(self._labels.items())

    def lacks(self) -> Iterable[str]:
        return self._lacking


def _open(scene: Scene) -> Optional[LockReader]:
    around = scene.of(Surroundings)
    return JoinReader(around) if around is not None else None


KIND = LockKind("join", AREA, _open, 70)
