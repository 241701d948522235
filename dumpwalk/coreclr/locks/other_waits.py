"""Waits for something that has no owner, or that is outside the process, told apart by the methods on the stack.

A wait is recognised by the framework's method that makes it (known_methods.py), by the runtime's own queue (a pulse), by the
kernel object that the PAL waits for, or by its system call. None of these can be proved to last: an event has no owner.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from dumpwalk.core.grade import Grade
from dumpwalk.core.names import plain
from dumpwalk.coreclr.locks.known_methods import Rule, rule_of, waits_deeper
from dumpwalk.coreclr.locks.model import LockObject
from dumpwalk.coreclr.locks.pal_objects import PalWait, pal_waits
from dumpwalk.coreclr.locks.reader import AREA
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.locks.sync_table import read_sync_table
from dumpwalk.coreclr.locks.woken import asleep, woken
from dumpwalk.coreclr.words import Unknown
from dumpwalk.locks.graph import Node
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.waits import Layer, Wait

OUTSIDE = ("socket", "pipe", "child", "file", "terminal", "name-resolution", "system-call")
"""Kinds of waits that something outside the process must end."""
OWNERLESS = ("event", "semaphore", "pulse", "barrier", "countdown", "task", "collection")
"""Kinds of waits that any thread may end."""
_EXPLAINED = {
    "idle": "a thread of the runtime's own that waits for work",
    "sleep": "sleeps",
    "exit": "waits for the end of the process",
    "timed-wait": "gives up by itself",
    **dict.fromkeys(OUTSIDE, "waits for something outside the process"),
    **dict.fromkeys(OWNERLESS, "waits for something that has no owner"),
}
_NATIVE_SLEEPS = ("ThreadNative::Sleep", "ThreadNative_Sleep", "Thread::UserSleep")
_SLEEPING = ("futex", "psynch-condition", "timed-wait", "ulock")
_OUTSIDE_CALLS = ("read", "write", "poll", "accept", "wait", "signal")
_PAL_KINDS = {0: "event", 1: "event", 4: "semaphore"}


class OtherWaits(LockReader):
    """Every managed thread's wait that no lock explains."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._pal = pal_waits(around)
        self._sync_table_read = read_sync_table(around).address is not None
        self._labels: Dict[Node, str] = {}

    def layer(self, wait: Wait) -> Optional[Layer]:
        thread = wait.thread
        native = (
            wait.target is not None and wait.target.kind == "event"
        )  # the condition variable that the PAL sleeps on
        if wait.lock is not None or (wait.target is not None and not native) or wait.call.inside is False:
            return None
        if self._around.record(thread) is None:
            return None
        ended = woken(self._around, self._pal, wait)
        if ended is not None:
            return ended
        frames = self._around.managed_frames(thread)
        rule = rule_of([f.method for f in frames])
        if thread.index in self._around.pulses and (rule is None or rule.kind not in OWNERLESS):
            hidden = rule is None and waits_deeper([f.method for f in frames])
            return None if hidden else self._pulse(wait)
        if rule is not None and not (rule.kind == "file" and wait.call.kind not in _OUTSIDE_CALLS):
            return self._by_rule(wait, rule)
        if wait.call.kind in _OUTSIDE_CALLS and wait.call.inside:
            return self._outside(wait, "system-call", f"its system call ({wait.call.kind})")
        if wait.kind == "sleep":
            return self._layer(wait, "sleep", "corroborated", "its system call", None)
        if any(f.function is not None and plain(f.function) in _NATIVE_SLEEPS for f in thread.frames()[:12]):
            return self._layer(wait, "sleep", "corroborated", "the runtime's own Sleep is on its stack", None)
        if len(thread.frames()) > 2 and self._around.only_native(thread):
            return self._layer(wait, "idle", "inferred", "no managed code is on its stack", None)
        sleeping = asleep(self._pal, wait)
        if sleeping is not None:
            return sleeping
        if frames and wait.call.kind in _SLEEPING:
            found = self._pal.of(wait)
            if found is not None and found.type in _PAL_KINDS:
                node = Node("event", found.synch)
                self._labels[node] = f"{found.type_name} 0x{found.synch:x}"
                how = f"its node 0x{found.node:x} is in the waiting list of a kernel object; from {found.seen.phrase()}"
                layer = self._layer(wait, _PAL_KINDS[found.type], "proved", how, node)
                # A Monitor's waiter sleeps on such an event too: where no sync block could be read, it explains nothing.
                return layer if self._sync_table_read or wait.timed else None
        if wait.timed and wait.call.kind in _SLEEPING:
            return self._layer(wait, "timed-wait", "corroborated", "its system call has a time-out", None)
        return None

    def labels(self) -> Iterable[Tuple[Node, str]]:
        return list(self._labels.items())

    def _pulse(self, wait: Wait) -> Layer:
        obj, sighting = self._around.pulses[wait.thread.index]
        node = Node("event", obj.address)
        self._labels[node] = f"a pulse of {obj.type or 'object'} at 0x{obj.address:x}"
        how = f"the sync block's queue of Monitor.Wait leads to its stack at 0x{sighting.address or 0:x}"
        return self._layer(wait, "pulse", "proved", how, node)

    def _by_rule(self, wait: Wait, rule: Rule) -> Optional[Layer]:
        how = f"{rule.type_name.rstrip('*').rstrip('.+')} is on its stack"
        if rule.kind in OUTSIDE:
            return self._outside(wait, rule.kind, how)
        if rule.kind not in OWNERLESS:
            return self._layer(wait, rule.kind, "corroborated", how, None)
        several = self._pal.of(wait) if rule.type_name.endswith("WaitHandle") else None
        if several is not None and several.until != "one":
            return self._several(wait, several, how)
        obj = self._object(wait, rule)
        if obj is None:
            found = self._pal.of(wait)
            if found is not None and found.type in _PAL_KINDS:
                node = Node("event", found.synch)
                self._labels[node] = f"{found.type_name} 0x{found.synch:x}"
                kind = _PAL_KINDS[found.type] if rule.type_name.endswith("WaitHandle") else rule.kind
                return self._layer(wait, kind, "proved", how, node)
            if rule.type_name.endswith("WaitHandle") and not wait.timed:
                return None  # a Mutex is waited for in the same method: only the kernel object tells
            return self._layer(wait, rule.kind, "corroborated", how, None)
        node = Node("event", obj.address)
        detail = self._fields(obj, rule)
        self._labels[node] = f"{obj.type} at 0x{obj.address:x}" + (f" ({detail})" if detail else "")
        return self._layer(wait, rule.kind, "corroborated", f"{how}; the object is 0x{obj.address:x}", node)

    def _several(self, wait: Wait, found: PalWait, how: str) -> Optional[Layer]:
        """WaitAny, WaitAll: told by one of the objects. None where all are owned: then some owners may be stuck behind it."""
        if found.type not in _PAL_KINDS:
            return None
        node = Node("event", found.synch)
        self._labels[node] = f"{found.type_name} 0x{found.synch:x}"
        how += f"; its node 0x{found.node:x} is one of those of {found.objects} kernel objects, {found.until} of which it waits for"
        return self._layer(wait, _PAL_KINDS[found.type], "proved", how, node)

    def _outside(self, wait: Wait, kind: str, how: str) -> Layer:
        descriptor = (
            wait.call.arguments[0] if wait.call.arguments and wait.call.kind in ("read", "write", "accept") else None
        )
        if descriptor is not None and descriptor < 1 << 20:
            node = Node("external", descriptor + 1)
            self._labels[node] = f"{kind} (descriptor {descriptor})"
            how += f"; {wait.call.kind} of descriptor {descriptor}"
        else:
            node = Node("external", 0)
            self._labels.setdefault(node, "something outside the process")
        return self._layer(wait, kind, "corroborated", how, node)

    def _object(self, wait: Wait, rule: Rule) -> Optional[LockObject]:
        if not rule.objects:
            return None
        for sighting, _ in self._around.objects(wait.thread, *rule.objects):
            name = self._around.view.type_of(sighting.value)
            return LockObject(sighting.value, rule.objects[0] if isinstance(name, Unknown) else name)
        return None

    def _fields(self, obj: LockObject, rule: Rule) -> str:
        told: List[str] = []
        for name in rule.fields:
            value = getattr(self._around.view.field(obj.address, name), "value", None)
            if value is not None:
                told.append(f"{name} {value}")
        return ", ".join(told)

    def _layer(self, wait: Wait, kind: str, grade: Grade, how: str, node: Optional[Node]) -> Layer:
        return Layer(kind, None, None, grade, how, node, _EXPLAINED.get(kind, "is understood"))


def _open(scene: Scene) -> Optional[LockReader]:
    around = scene.of(Surroundings)
    return OtherWaits(around) if around is not None else None


KIND = LockKind("other-waits", AREA, _open, 80)
