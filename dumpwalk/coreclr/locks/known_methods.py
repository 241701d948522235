"""Methods of the framework in which threads wait, and what each waits for: the names tell which kind of wait it is.

The first table's order is the order of precedence among the framework's methods above the user's own: a BlockingCollection
waits in a SemaphoreSlim, which waits in Monitor.Wait.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from dumpwalk.coreclr.code.method_desc import MethodName
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Rule:
    """One kind of wait. `type_name` ends with `*` for every type that begins so; `method` is a part of the method's name."""

    type_name: str
    method: str
    kind: str
    objects: Tuple[str, ...] = ()
    """Types of the object that is waited for, as a stack may hold it."""
    fields: Tuple[str, ...] = ()
    """Its fields worth telling."""

    def fits(self, method: MethodName) -> bool:
        if self.method not in method.name:
            return False
        if self.type_name.endswith("*"):
            return method.type_name.startswith(self.type_name[:-1])
        return method.type_name == self.type_name


_T = "System.Threading."
_SLIM = (_T + "SemaphoreSlim",)
RULES: Tuple[Rule, ...] = (
    Rule(_T + "PortableThreadPool+WorkerThread", "", "idle"),
    Rule(_T + "PortableThreadPool+GateThread", "", "idle"),
    Rule(_T + "PortableThreadPool+WaitThread", "", "idle"),
    Rule(_T + "PortableThreadPool+IOCompletionPoller", "", "idle"),
    Rule(_T + "WindowsThreadPool", "", "idle"),
    Rule("System.Environment", "Exit", "exit"),
    Rule(_T + "TimerQueue", "TimerThread", "idle"),
    Rule("System.Net.Sockets.SocketAsyncEngine", "EventLoop", "idle"),
    Rule("System.IO.FileSystemWatcher+*", "", "idle"),
    Rule("System.Diagnostics.ProcessWaitState", "", "child", ("System.Diagnostics.Process",)),
    Rule("System.Diagnostics.Process", "WaitForExit", "child", ("System.Diagnostics.Process",)),
    Rule("System.Net.Sockets.*", "", "socket", ("System.Net.Sockets.Socket",)),
    Rule("System.Net.Security.*", "", "socket", ("System.Net.Sockets.Socket",)),
    Rule("System.Net.Dns", "", "name-resolution"),
    Rule("System.Net.NameResolutionPal", "", "name-resolution"),
    Rule("System.Console", "Read", "terminal"),
    Rule("System.ConsolePal*", "Read", "terminal"),
    Rule("System.IO.Pipes.*", "", "pipe"),
    Rule(
        "System.Collections.Concurrent.BlockingCollection`1", "", "collection",
        ("System.Collections.Concurrent.BlockingCollection`1",),
    ),
    Rule("System.Threading.Channels.*", "", "collection"),
    Rule(
        _T + "Barrier", "", "barrier", (_T + "Barrier",), ("_currentTotalCount", "m_currentTotalCount"),
    ),
    Rule(
        _T + "CountdownEvent", "Wait", "countdown", (_T + "CountdownEvent",), ("_currentCount", "m_currentCount"),
    ),
    Rule(
        "System.Threading.Tasks.Task*", "Wait", "task",
        ("System.Threading.Tasks.Task", "System.Threading.Tasks.Task`1"), ("m_stateFlags",),
    ),
    Rule("System.Runtime.CompilerServices.TaskAwaiter*", "", "task",
         ("System.Threading.Tasks.Task", "System.Threading.Tasks.Task`1")),
    Rule(_T + "SemaphoreSlim", "Wait", "semaphore", _SLIM, ("m_currentCount", "m_waitCount")),
    Rule(_T + "ManualResetEventSlim", "Wait", "event", (_T + "ManualResetEventSlim",), ("m_combinedState", "_combinedState")),
    Rule(_T + "Thread", "Sleep", "sleep"),
    Rule(_T + "Thread", "SleepInternal", "sleep"),
    Rule(
        _T + "WaitHandle", "Wait", "event",
        (_T + "AutoResetEvent", _T + "ManualResetEvent", _T + "EventWaitHandle", _T + "Semaphore"),
    ),
    Rule(_T + "WaitHandle", "SignalAndWait", "event"),
    Rule("System.IO.*", "", "file"),
    Rule("Interop+Sys", "Read", "file"),
    Rule("Interop+Sys", "Write", "file"),
)  # fmt: skip
_FRAMEWORK = ("System.", "Microsoft.", "mscorlib", "netstandard", "WindowsBase")


def is_framework(method: MethodName) -> bool:
    """Code that came with .NET and not with the program."""
    if method.kind in ("il-stub", "dynamic"):
        return True
    return (method.module or "").startswith(_FRAMEWORK)


def rule_of(methods: Sequence[MethodName]) -> Optional[Rule]:
    """The rule for a thread's innermost framework methods, up to the first of the user's own."""
    framework = []
    for method in methods:
        if not is_framework(method):
            break
        framework.append(method)
    for rule in RULES:
        if any(rule.fits(method) for method in framework):
            return rule
    return None


def waits_deeper(methods: Sequence[MethodName]) -> bool:
    """Framework methods without names, of more than one type, stand above the program's own: the wait is made by something of the
    framework (a Task, a SemaphoreSlim) through another, and what that is cannot be told."""
    types = set()
    for method in methods:
        if not is_framework(method):
            break
        if method.by_token:
            types.add(method.method_table)
    return len(types) > 1


def own_method(methods: Sequence[MethodName]) -> Optional[MethodName]:
    """The first method of the user's own code."""
    return next((method for method in methods if not is_framework(method)), None)
