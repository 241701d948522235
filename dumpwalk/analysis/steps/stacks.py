"""Every thread's frames, unwound now and not later: what follows asks for them again and again."""

from __future__ import annotations

from typing import Iterator, Optional

from dumpwalk import limits
from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import Stacks
from dumpwalk.analysis.step import Step
from dumpwalk.claims.model import Coverage
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.names import plural
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


def _covers(known: Gathered) -> Iterator[Coverage]:
    process = known.process
    if process.debugger_version is None:
        yield Coverage(
            "stacks",
            "partial" if any(len(t.frames()) > 1 for t in process.threads) else "none",
            process.module_facts.get("stacks", "no debugger was used: frame pointers only"),
        )
        return
    short = [t.index for t in process.threads if len(t.frames()) <= 1]
    if short:
        shown = ", ".join(map(str, short[:20])) + (" ..." if len(short) > 20 else "")
        yield Coverage(
            "stacks", "partial", f"one frame only: {len(short)} of {plural(len(process.threads), 'thread')}: {shown}"
        )
    else:
        yield Coverage(
            "stacks", "complete", f"{len(process.threads)} of {plural(len(process.threads), 'thread')} unwound"
        )


STEP = Step(
    name="stacks",
    rank=20,
    gives=Stacks,
    needs=(RuntimeView,),
    look=_look,
    instead=_leave,
    covers=_covers,
    areas=("stacks",),
    share=limits.STACKS_SHARE,
)
