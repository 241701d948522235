"""Which task a blocked thread waits for: Task.Wait, Result, GetAwaiter().GetResult, WaitAll.

Such a thread sleeps in Monitor.Wait on the lock of an event that it has put on the task as a continuation. Two facts of
memory lead to the task and have to agree: a word of the thread's stack is the task, and the task's continuation is an event
whose lock is the very object for whose pulse the runtime has the thread in its queue. Source: Task.cs
(SpinThenBlockingWait, SetOnInvokeMres; WaitAllBlockingCore, SetOnCountdownMres), ManualResetEventSlim.cs (m_lock).
"""

from __future__ import annotations

from typing import Iterator, List, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.grade import Grade
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.known_methods import is_framework
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.tasks.task import EVENTS, TASK, Tasks, TaskState
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import Sighting
from dumpwalk.locks.waits import Wait


@dataclass(frozen=True)
class TaskWait:
    """A thread blocked until a task, or each of several, is done."""

    thread: Thread
    tasks: Tuple[TaskState, ...]
    """Those that are not done; all of them are needed."""
    grade: Grade
    how: str
    seen: Sighting
    timed: bool
    """The wait gives up by itself."""


def task_wait(around: Surroundings, tasks: Tasks, wait: Wait) -> Optional[TaskWait]:
    """What a thread's wait is for; None where it is for no task or that could not be confirmed."""
    thread = wait.thread
    if not _waits_for_task(around, thread):
        return None
    pulse = around.pulses.get(thread.index)
    on_stack = {s.value for s in around.sightings(thread)}
    found: List[Tuple[TaskState, Sighting, str, Grade]] = []
    for task, sighting in _tasks_near(around, tasks, thread):
        for continuation in tasks.continuations(task.address):
            name = around.view.definition_of(continuation)
            if not isinstance(name, str) or not name.endswith(EVENTS):
                continue
            lock = tasks.reference(continuation, "m_lock")
            event = f"its continuation is the event 0x{continuation:x}"
            if pulse is not None and lock == pulse[0].address:
                how = f"{event}, on whose lock 0x{lock:x} the runtime has this thread in its queue of Monitor.Wait"
                found.append((task, sighting, how, "proved"))
            elif pulse is None and continuation in on_stack:
                found.append((task, sighting, f"{event}, which is on this thread's stack", "corroborated"))
    if not found:
        return None
    weakest: Grade = "proved" if all(row[3] == "proved" for row in found) else "corroborated"
    first = found[0]
    how = f"{first[1].phrase()}, the task; {first[2]}"
    states = tuple({row[0].address: row[0] for row in found}.values())
    return TaskWait(thread, states, weakest, how, first[1], wait.timed)


def _waits_for_task(around: Surroundings, thread: Thread) -> bool:
    """Among the framework's methods above the program's own there is one of Task that waits."""
    for frame in around.managed_frames(thread):
        if not is_framework(frame.method):
            return False
        if frame.method.type_name.startswith(TASK) and "Wait" in frame.method.name:
            return True
    return False


def _tasks_near(around: Surroundings, tasks: Tasks, thread: Thread) -> Iterator[Tuple[TaskState, Sighting]]:
    """Tasks that are not done, named by a thread's stack or by an array there; each once."""
    met = set()
    for sighting, name in around.objects(thread):
        one = [sighting.value] if tasks.is_task(sighting.value) else _items(tasks, sighting.value, name)
        for address in one:
            state = tasks.state(address) if address not in met else None
            met.add(address)
            if state is not None and not state.done:
                yield state, sighting


def _items(tasks: Tasks, obj: int, name: str) -> List[int]:
    """Tasks of an array, for WaitAll."""
    return tasks.elements(obj, limits.CONTINUATIONS) if name.startswith(TASK) and name.endswith("[]") else []
