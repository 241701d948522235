"""What is kept beside what the analysis read: what a reader without the same files needs for the same stacks and names.

All of it is read through the recorded memory, so nothing is kept that was not there to be read.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Iterable, Iterator, List, Sequence, Set

from dumpwalk import limits
from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Finding
from dumpwalk.core.memory import captured_run
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Frame, Process, Thread
from dumpwalk.core.recording import Recording
from dumpwalk.coreclr.frame_chain import resume_by
from dumpwalk.coreclr.open_image import open_image
from dumpwalk.coreclr.unwinding.managed_rules import ManagedRules
from dumpwalk.coreclr.words import Unknown
from dumpwalk.evidence.link_map import read_link_map
from dumpwalk.evidence.unwind_sections import keep_unwind_sections
from dumpwalk.unwinding.bare import BareStacks

RED_ZONE = 128
"""Bytes below the stack pointer that a function may use without moving it (System V AMD64 ABI 3.2.2; Apple's arm64 too)."""
_CODE = 64
"""Bytes of code on both sides of each frame's pc: what shows the instruction, the call before it and the loop around it."""
_FRAME = 256
_SHOWN = re.compile(r"^memory read -s(\d+) -f\w+ -c(\d+) (0x[0-9a-f]+)$", re.MULTILINE)


def keep(facts: Facts, findings: Sequence[Finding], recording: Recording) -> None:
    """Read, through the process's recorded memory, all that shall be kept besides."""
    process = facts.process
    _shown_by_commands(process, findings)
    _read_without_files(facts)
    seen: Set[int] = set()
    for thread in process.threads:
        _code(recording, thread.frames(), seen)
    if process.os == "macos":
        keep_unwind_sections(process, recording)
    else:
        read_link_map(process)
    _small_images(process, recording)
    for thread in process.threads:  # last: where there is no more room, it is the unread part of stacks that goes
        _stack(process, thread, recording)


def _shown_by_commands(process: Process, findings: Iterable[Finding]) -> None:
    """The words that the report's lines to paste show."""
    for finding in findings:
        lines: List[str] = [e.command for e in finding.evidence if e.command]
        for size, count, address in _SHOWN.findall("\n".join([*lines, *finding.repro])):
            process.memory.read(int(address, 16), min(int(size) * int(count), 1 << 16))


def _read_without_files(facts: Facts) -> None:
    """Look up every frame's unwind data and name, and the runtime's exports, in the dump alone: so is read what a reader needs
    who has none of the process's files, as far as the dump holds it."""
    process, core = facts.process, facts.process.corefile
    if facts.runtime is not None:
        image = open_image(process.memory, facts.runtime.base)
        for name in facts.runtime.image.looked_up if image is not None else ():
            image.symbol(name)  # type: ignore[union-attr]
    if core is None:
        return
    modules = ModuleMap([replace(module, file=None) for module in process.modules])
    stacks = BareStacks(core, process.memory, process.memory, modules)
    if facts.view is not None and not isinstance(facts.view.code(), Unknown):
        stacks.use_managed(ManagedRules(process, facts.view), resume_by(process, facts.view))
    for pc in sorted({frame.pc for thread in process.threads for frame in thread.frames()}):
        stacks.look_up(pc)


def _code(recording: Recording, frames: Sequence[Frame], seen: Set[int]) -> None:
    for frame in frames:
        if frame.pc not in seen:
            seen.add(frame.pc)
            recording.keep(max(frame.pc - _CODE, 0), 2 * _CODE)


def _small_images(process: Process, recording: Recording) -> None:
    """Images that are no file: the vdso, which no file can stand for."""
    for module in process.modules:
        if module.name.startswith("[") and module.base is not None and module.end is not None:
            recording.keep(module.base, min(module.end - module.base, limits.EVIDENCE_STACK_BYTES))


def _stack(process: Process, thread: Thread, recording: Recording) -> None:
    """From the red zone up to the stated depth or the end of the stack's mapping; deeper frames by their own pages."""
    sp = thread.registers.get(process.arch.sp, 0)
    run = captured_run(process.memory, sp)
    if run is None:
        return
    low = max(sp - RED_ZONE, run[0])
    high = min(run[1], sp + limits.EVIDENCE_STACK_BYTES)
    recording.keep(low, high - low)
    for place in _deeper(thread.frames(), high):
        recording.keep(place - _FRAME, 2 * _FRAME)


def _deeper(frames: Sequence[Frame], depth: int) -> Iterator[int]:
    return (frame.sp for frame in frames if frame.sp is not None and frame.sp >= depth - _FRAME)
