"""Pending timers: when one fires, so that a delay is not called stuck.

Sources: System.Private.CoreLib/src/System/Threading/Timer.cs (TimerQueueTimer: _startTicks, _dueTime, the same in 8 to 10;
m_startTicks, m_dueTime in 3.1), Task.cs (DelayPromise._timer). Ticks are milliseconds since the machine's start.
"""

from __future__ import annotations

from typing import Optional

from dumpwalk.coreclr.tasks.task import Tasks
from dumpwalk.dataclass import dataclass

_TIMER = "System.Threading.TimerQueueTimer"
_NEVER = 0xFFFFFFFF
_HOLDERS = ("_timer", "m_timer", "_Timer", "_owner")


@dataclass(frozen=True)
class Timer:
    address: int
    due_ms: int
    """Milliseconds from its setting until it fires."""
    set_at_ms: int
    queue: int
    """The TimerQueue that has it."""


def timer_of(tasks: Tasks, obj: int) -> Optional[Timer]:
    """The pending timer that an object (a delay's promise, a Timer, a holder of one) has; None where there is none."""
    for _ in range(4):
        if tasks.view.definition_of(obj) == _TIMER:
            return _read(tasks, obj)
        inner = next((found for found in (tasks.reference(obj, name) for name in _HOLDERS) if found), None)
        if not inner:
            return None
        obj = inner
    return None


def _read(tasks: Tasks, timer: int) -> Optional[Timer]:
    """A timer that is in its queue: one that has fired, or was cancelled, has no due time."""
    due = _either(tasks, timer, "_dueTime", "m_dueTime")
    start = _either(tasks, timer, "_startTicks", "m_startTicks")
    queue = _either(tasks, timer, "_associatedTimerQueue", "m_associatedTimerQueue")
    if due is None or start is None or not queue or due & _NEVER == _NEVER:
        return None
    return Timer(timer, due & _NEVER, start, queue)


def _either(tasks: Tasks, obj: int, *names: str) -> Optional[int]:
    return next((value for value in (tasks.number(obj, name) for name in names) if value is not None), None)
