"""One thread's stack, native and managed frames in one, without an analysis of the rest."""

from __future__ import annotations

from typing import Optional, Set, Tuple

from dumpwalk.core.process import Process, Thread
from dumpwalk.coreclr.chain_names import name_by_chain
from dumpwalk.coreclr.managed_frames import name_frames
from dumpwalk.coreclr.runtime_view import read_runtime
from dumpwalk.coreclr.unwinding.attach import attach
from dumpwalk.engine.sections.threads import Frames
from dumpwalk.report import model


def thread_of(process: Process, index: Optional[int]) -> Optional[Thread]:
    """The thread of this index; without one the selected thread, the one that crashed, or the first."""
    if index is None:
        index = process.selected
    if index is None and process.corefile is not None and process.corefile.crash_thread is not None:
        crashed = process.thread_of_note(process.corefile.crash_thread)
        index = crashed.index if crashed is not None else None
    if index is None:
        return process.threads[0] if process.threads else None
    return next((thread for thread in process.threads if thread.index == index), None)


def stack_of(process: Process, thread: Thread) -> Tuple[model.Frame, ...]:
    """Its frames, innermost first, named as a report names them (but for what only an analysis infers)."""
    view = read_runtime(process).managed
    stubs: Set[int] = set()
    if view is not None:
        attach(process, view)
        stubs = name_frames(process, view, [thread]).stubs
        name_by_chain(process, view, [thread])
    return Frames(stubs, process.symbols, process.arch.min_instruction).stack(thread.frames())
