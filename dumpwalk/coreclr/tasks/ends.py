"""What a chain ends at: an object that is no awaiting method, by its type and its fields.

Sources: System.Private.CoreLib/src/System/Threading (Tasks/Task.cs, SemaphoreSlim.cs, PeriodicTimer.cs), System.Threading.
Channels (AsyncOperation.cs), System.Net.Sockets (SocketAsyncEventArgs.cs: _operating 1 = in progress, _completedOperation).
"""

from __future__ import annotations

from typing import Iterable, Optional, Set

from dumpwalk.core.names import plural
from dumpwalk.coreclr.tasks.chain import End, EndKind
from dumpwalk.coreclr.tasks.task import TASK, Tasks, short_type
from dumpwalk.coreclr.tasks.timers import timer_of

_PLAIN = (TASK, TASK + "`1")
_TIMERS = ("DelayPromise", "DelayPromiseWithCancellation", "PeriodicTimer+State", "System.Threading.TimerQueueTimer")
_CANCELLED = "DelayPromiseWithCancellation"
CALLBACK = "System.Threading.CancellationTokenSource+CallbackNode"
"""What a token's source calls when it is cancelled."""
_SEMAPHORE = "System.Threading.SemaphoreSlim"
_WAITER = _SEMAPHORE + "+TaskNode"
_CHANNELS = "System.Threading.Channels."
_IO = (
    "System.Net.",
    "System.IO.Pipes.",
    "System.IO.RandomAccess",
    "System.IO.Strategies.",
    "Microsoft.Win32.SafeHandles.",
)
_SOCKET_CALLS = (
    "", "accept", "connect", "disconnect", "receive", "receive", "receive", "send", "send", "send",
)  # fmt: skip
_IN_PROGRESS = 1


def end_of(tasks: Tasks, obj: int) -> End:
    """An object of which nothing else is known than its memory. Nothing raises."""
    view = tasks.view
    definition = view.definition_of(obj)
    if not isinstance(definition, str):
        return End("unread", obj, "something that could not be read", "unresolved", definition.why)
    name = view.type_of(obj)
    name = name if isinstance(name, str) else definition
    type_says = f"the object 0x{obj:x} is a {name}"
    if definition.endswith(_TIMERS):
        timer = timer_of(tasks, obj)
        if timer is None and tasks.reference(obj, "_timer") == 0 and definition.endswith(_CANCELLED):
            how = f"{type_says} that has no timer"
            return End("cancellation", obj, "a delay without end, which only a CancellationToken ends", "proved", how)
        if timer is None and tasks.reference(obj, "_timer") == 0:
            return End("timer", obj, "a delay without end", "proved", f"{type_says} that has no timer")
        if timer is None:
            return End("timer", obj, "a timer whose time could not be read", "corroborated", type_says)
        how = f"{type_says}; its timer 0x{timer.address:x} is in the queue 0x{timer.queue:x}"
        what = f"a timer of {duration(timer.due_ms)}"
        return End("timer", obj, what, "proved", how, due_ms=timer.due_ms, set_at_ms=timer.set_at_ms)
    if definition == _WAITER:
        return End("semaphore", obj, "a SemaphoreSlim", "proved", f"{type_says}, a waiter in the queue of WaitAsync")
    if definition == CALLBACK:
        how = f"{type_says}, a callback that was registered with a CancellationToken"
        return End("cancellation", obj, "the cancellation of a CancellationToken", "proved", how)
    if definition.startswith(_CHANNELS):
        return End("channel", obj, "a channel", "proved", type_says)
    if definition.startswith(_IO):
        return _io(tasks, obj, name, type_says)
    if definition in _PLAIN:
        how = f"{type_says} with no method to run: somebody has to complete it"
        return End("completion-source", obj, "a TaskCompletionSource", "proved", how)
    if tasks.is_task(obj):
        return End("promise", obj, short_type(name), "proved", f"{type_says}: somebody has to complete it")
    kind: EndKind = "value-source" if tasks.sources.is_source(obj) else "custom"
    return End(kind, obj, name, "proved" if kind == "value-source" else "corroborated", type_says)


def _io(tasks: Tasks, obj: int, name: str, type_says: str) -> End:
    operating, call = tasks.number(obj, "_operating"), tasks.number(obj, "_completedOperation")
    if operating == _IN_PROGRESS and call is not None and 0 < call < len(_SOCKET_CALLS):
        what = f"a socket: {_SOCKET_CALLS[call]} under way"
        return End("io", obj, what, "proved", f"{type_says}; _operating is 1 (in progress), the operation is {call}")
    if operating is not None:
        how = f"{type_says}; _operating is {operating}, which is not in progress"
        return End("value-source", obj, name, "corroborated", how)
    return End("io", obj, f"input or output: {name}", "corroborated", type_says)


def semaphore_words(tasks: Tasks, semaphore: int) -> str:
    """`SemaphoreSlim at 0x7f...: count 0, 2 asynchronous waiters`."""
    count = tasks.number(semaphore, "m_currentCount")
    waiters, node = 0, tasks.reference(semaphore, "m_asyncHead")
    seen: Set[int] = set()
    while node and node not in seen and waiters < 10_000:
        seen.add(node)
        waiters, node = waiters + 1, tasks.reference(node, "Next")
    counted = f"count {count}, " if count is not None else ""
    return f"SemaphoreSlim at 0x{semaphore:x}: {counted}{plural(waiters, 'asynchronous waiter')}"


def semaphore_of(tasks: Tasks, waiter: int, candidates: Iterable[int]) -> Optional[int]:
    """Among these objects the SemaphoreSlim whose queue has this waiter."""
    first = waiter
    seen: Set[int] = set()
    while (before := tasks.reference(first, "Prev")) and before not in seen and len(seen) < 10_000:
        seen.add(before)
        first = before
    for obj in candidates:
        if tasks.view.definition_of(obj) == _SEMAPHORE and tasks.reference(obj, "m_asyncHead") == first:
            return int(obj)
    return None


def duration(milliseconds: int) -> str:
    """`250 ms`, `30 s`, `1 h`: exact where it is a whole number of the unit."""
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size:,} {unit}"
    return f"{milliseconds:,} ms"
