"""Every thread's frames, unwound now and not later: what follows asks for them again and again."""

from __future__ import annotations

from dumpwalk import limits
from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import Stacks
from dumpwalk.analysis.step import Step
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Frame, Process, no_registers
from dumpwalk.coreclr.runtime_view import RuntimeView


def unwind(process: Process) -> None:
    for thread in process.threads:
        thread.frames()


def _look(known: Gathered) -> Stacks:
    unwind(known.process)
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
            frame = Frame(0, pc, module, None, None, "none", "context", managed=False, registers=no_registers, sp=sp)
            thread.replace_frames([frame])
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
