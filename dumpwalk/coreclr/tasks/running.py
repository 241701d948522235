"""Which thread runs which task now.

A task is being run where its own memory says that it has begun and is not done, and the frame of the framework's method that
runs tasks names it: of a delegate `Task.ExecuteWithThreadLocal`, of an async method the state machine's box, whose method
MoveNext of that very type is the next frame. Source: Task.cs (ExecuteWithThreadLocal), AsyncTaskMethodBuilderT.cs (MoveNext).
"""

from __future__ import annotations

from typing import List, Sequence

from dumpwalk.core.grade import Grade
from dumpwalk.core.process import Frame, Thread
from dumpwalk.coreclr.locks.surroundings import ManagedFrame, Surroundings
from dumpwalk.coreclr.tasks.task import TASK, Tasks, TaskState
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Running:
    """A thread in a task."""

    thread: Thread
    task: TaskState
    grade: Grade
    how: str


def running_tasks(around: Surroundings, tasks: Tasks, thread: Thread) -> List[Running]:
    """The tasks that a thread is in, innermost first. A frame that names several is of no use and is left out."""
    found: List[Running] = []
    for frame in around.managed_frames(thread):
        of_delegate = frame.method.type_name == TASK and frame.method.name == "ExecuteWithThreadLocal"
        of_method = frame.method.name == "MoveNext" and "+<" in frame.method.type_name
        if not of_delegate and not of_method:
            continue
        stack = thread.frames()
        here = next((i for i, f in enumerate(stack) if f is frame.frame), None)
        if here is None:
            continue
        states = [s for s in _named(around, tasks, thread, stack, here) if _fits(s, frame)]
        if len(states) == 1:
            task = states[0]
            moving = task.is_box and tasks.in_motion(task.address)
            said = "its state machine says that it runs" if moving else "its flags say begun and not done"
            if task.is_box and not moving:
                said = "its state machine is of that type"
            how = f"the frame of {frame.method.full} names 0x{task.address:x}; {said}"
            found.append(Running(thread, task, "proved" if moving or not task.is_box else "corroborated", how))
    return found


def _fits(state: TaskState, frame: ManagedFrame) -> bool:
    if state.done:
        return False
    if frame.method.type_name == TASK:
        return state.invoked and not state.is_box
    return state.is_box and (state.machine or "").split("[")[0] == frame.method.type_name.split("[")[0]


def _named(around: Surroundings, tasks: Tasks, thread: Thread, stack: Sequence[Frame], here: int) -> List[TaskState]:
    """Tasks in the words from the frame inside (where saved registers lie) to the end of the frame outside."""
    low = stack[here - 1].sp if here else stack[here].sp
    high = stack[min(here + 2, len(stack) - 1)].sp
    if low is None or high is None:
        return []
    found = {}
    for sighting in around.sightings(thread):
        if sighting.address is None or not low <= sighting.address < high or around.type_at(sighting.value) is None:
            continue
        state = tasks.state(sighting.value)
        if state is not None:
            found[state.address] = state
    return list(found.values())
