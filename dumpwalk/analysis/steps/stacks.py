"""Every thread's frames, unwound now and not later: what follows asks for them again and again."""

from __future__ import annotations

from typing import Optional

from dumpwalk import limits
from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import Stacks
from dumpwalk.analysis.step import Step
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Frame, Process, no_registers
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.coreclr.unwinding.attach import attach


def unwind(process: Process, view: Optional[ManagedView]) -> None:
    """All stacks; through managed code where the runtime's view tells of it."""
    if view is not None:
        attach(process, view)
    for thread in process.threads:
        thread.frames()


def _look(known: Gathered) -> Stacks:
    unwind(known.process, known.of(RuntimeView).managed)
    return Stacks(True)


def _leave(known: Gathered) -> Stacks:
    """Threads whose stacks were not reached in time have the frame of their pc alone: nobody unwinds them later."""
    process = known.process
    modules = ModuleMap(process.modules)
    for thread in process.threads:
        if not thread.unwound:
            pc = thread.registers.get(process.arch.pc, 0)
            sp = thread.registers.get(process.arch.sp)
            module = modules.at(pc)
            frame = Frame(0, pc, module, None, None, "none", "context", False, no_registers, sp, "dumpwalk")
            thread.tell_frames([frame])
    return Stacks(False)


STEP = Step(
    name="stacks",
    rank=20,
    gives=Stacks,
    needs=(RuntimeView,),
    look=_look,
    instead=_leave,
    areas=("stacks",),
    share=limits.STACKS_SHARE,
)
