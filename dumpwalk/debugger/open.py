"""Opens a core as a `Process`: with lldb for stacks and symbols, or without it from the file alone.

Memory always comes from dumpwalk's own reader of the file: the same answers as a debugger's, several times faster, and no
address is masked. Code comes from the dump first and from matched module files where the dump has none.
"""

from __future__ import annotations

import os
import stat
from typing import Any, List, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.arch import arch_for
from dumpwalk.core.corefile import CoreFile, CoreImage
from dumpwalk.core.memory import FileMemory, LayeredMemory, Memory
from dumpwalk.core.process import Frame, Module, NoSymbols, Process, Thread, no_registers
from dumpwalk.core.unwind import follow_frame_pointers, scan_for_chain, strip_pac
from dumpwalk.debugger.session import LldbSession
from dumpwalk.debugger.stacks import LldbSymbols, ModuleMap, Unwinder
from dumpwalk.errors import DebuggerFailed

Found = Sequence[Tuple[CoreImage, Any]]
"""Every image of the core with what was found for it (core/module_search.py)."""


def open_with_lldb(
    lldb: Any, core: CoreFile, found: Found, file_memory: Sequence[Memory]
) -> Tuple[Process, LldbSession]:
    """The process as lldb unwinds it. Raises DebuggerFailed when lldb refuses the core, or must not see it."""
    _refuse_odd_files(core)
    session = LldbSession(lldb, core, found)
    memory = FileMemory(core.file, core.segments)
    code: Memory = LayeredMemory([memory, *file_memory]) if file_memory else memory
    symbols = LldbSymbols(lldb, session.target)
    arch = arch_for(core.os, core.arch)
    modules = ModuleMap(session.modules)
    unwinder = Unwinder(lldb, arch, memory, code, modules, symbols, core.pac_mask)
    process = Process(
        arch=arch,
        os=core.os,
        pid=core.pid,
        threads=_threads(core, session, unwinder),
        modules=session.modules,
        memory=memory,
        code=code,
        symbols=symbols,
        corefile=core,
        debugger_version=session.version,
        threads_complete=not core.threads_cut,
    )
    process.module_facts["limited"] = ""
    process.__dict__["unwinder"] = unwinder
    return process, session


def _refuse_odd_files(core: CoreFile) -> None:
    """lldb opens every path that the core names and reads to its end: a pipe or a device there would hold it for ever."""
    for image in core.images:
        try:
            mode = os.stat(image.path).st_mode
        except (OSError, ValueError):
            continue  # not here: lldb finds nothing either
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise DebuggerFailed(f"the core names {image.path} as a module, which is a pipe or a device here.")


def _threads(core: CoreFile, session: LldbSession, unwinder: Unwinder) -> List[Thread]:
    """The core's threads in the order of the file, each with lldb's thread of the same position."""
    threads: List[Thread] = []
    arch = arch_for(core.os, core.arch)
    by_index = {}
    for position in range(session.process.GetNumThreads()):
        handle = session.process.GetThreadAtIndex(position)
        by_index[handle.GetIndexID()] = handle
    handles = [by_index[i] for i in sorted(by_index)]
    by_tid = {h.GetThreadID(): h for h in handles} if core.os == "linux" else {}
    for position, record in enumerate(core.threads):
        handle = by_tid.get(record.tid) if record.tid is not None else None
        if handle is None and position < len(handles):
            handle = handles[position]
        index = handle.GetIndexID() if handle is not None else position + 1
        sp = record.registers.get(arch.sp, 0)

        def unwind(of: Any = handle, number: int = index, stack: int = sp) -> List[Frame]:
            return unwinder.frames(of, number, stack) if of is not None else []

        threads.append(
            Thread(index, record.tid, record.tid_source, record.registers, record.signal, record.name, unwind)
        )
    threads.sort(key=lambda t: t.index)
    return threads


def open_bare(core: CoreFile, found: Found, file_memory: Sequence[Memory], why: str) -> Process:
    """The process without a debugger: registers from the core's notes, stacks by frame pointer, no symbols.

    `why` is the sentence for the report's coverage: what happened to lldb.
    """
    memory = FileMemory(core.file, core.segments)
    code: Memory = LayeredMemory([memory, *file_memory]) if file_memory else memory
    arch = arch_for(core.os, core.arch)
    modules = [
        Module(i.path, i.base, i.end, i.build_id, str(m.file) if m.file and m.match == "matched" else None, m.match)
        for i, m in found
    ]
    where = ModuleMap(modules)
    executable = [(s.start, s.end) for s in core.segments if s.executable]

    def is_code(address: int) -> bool:
        return where.at(address) is not None or any(a <= address < b for a, b in executable)

    def frame(index: int, pc: int, trust: str) -> Frame:
        module = where.at(pc)
        return Frame(index, pc, module, None, None, "none", trust, module is None and is_code(pc), no_registers)

    def unwind(registers: Any) -> List[Frame]:
        pc = strip_pac(arch, registers.get(arch.pc, 0), core.pac_mask)
        sp, fp = registers.get(arch.sp, 0), registers.get(arch.fp, 0)
        frames = [frame(0, pc, "context")]
        chain = follow_frame_pointers(arch, memory, fp, is_code, sp, limits.FRAMES_PER_THREAD, core.pac_mask)
        if not chain:
            room = limits.FRAMES_PER_THREAD
            for back, _, trust in scan_for_chain(arch, memory, code, sp, is_code, room, core.pac_mask):
                frames.append(frame(len(frames), back, trust))
        for back, _ in chain:
            frames.append(frame(len(frames), back, "fp"))
        return frames

    threads = [
        Thread(i + 1, t.tid, t.tid_source, t.registers, t.signal, t.name, lambda r=t.registers: unwind(r))  # type: ignore[misc]
        for i, t in enumerate(core.threads)
    ]
    process = Process(
        arch=arch,
        os=core.os,
        pid=core.pid,
        threads=threads,
        modules=modules,
        memory=memory,
        code=code,
        symbols=NoSymbols(),
        corefile=core,
        debugger_version=None,
        threads_complete=not core.threads_cut,
    )
    process.module_facts["stacks"] = why
    return process
