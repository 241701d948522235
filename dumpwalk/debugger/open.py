"""Opens a core as a `Process`: with lldb for stacks and symbols, or without it from the file alone.

Memory always comes from dumpwalk's own reader of the file: the same answers as a debugger's, several times faster, and no
address is masked. Code comes from the dump first and from matched module files where the dump has none.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

from dumpwalk.binaries.search import ModuleSearch
from dumpwalk.core.arch import arch_for
from dumpwalk.core.corefile import CoreFile, CoreImage
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Frame, Module, NoSymbols, Process, Thread
from dumpwalk.core.recording import Watch, unwatched
from dumpwalk.debugger.session import LldbSession
from dumpwalk.debugger.source import Source
from dumpwalk.debugger.stacks import LldbSymbols, Unwinder
from dumpwalk.dump.preflight import open_core
from dumpwalk.errors import DebuggerFailed
from dumpwalk.unwinding.bare import BareStacks

Stack = Tuple[List[Frame], Optional[str]]
Found = Sequence[Tuple[CoreImage, Any]]
"""Every image of the core with what was found for it (binaries/search.py)."""


@contextmanager
def opened(
    path: str,
    modules: Sequence[str] = (),
    lldb: Optional[Any] = None,
    temp_dir: Optional[Callable[[], str]] = None,
    progress: Callable[[str], None] = lambda phase: None,
    why_bare: str = "",
    keep_session: bool = False,
    search_seconds: Optional[float] = None,
    debug_files: bool = False,
    watch: Watch = unwatched,
) -> Iterator[Process]:
    """The process in a core file, for the time of the `with` block: every file that was opened is closed after it.

    `modules` are folders, files or archives with the process's own binaries. `lldb` is the module, or None for the process
    without it (`why_bare` says why). `temp_dir` gives a private folder where one is needed, for a compressed core or an
    archive of modules; who gives it removes it. With `keep_session` lldb's own session stays open: a process that ends
    anyway has its answer before lldb tears anything down. `search_seconds` bounds the look through `modules`. With `debug_files`
    lldb uses all debug files of this machine. All that is read of the process's memory goes through `watch` (core/recording.py).
    Raises DumpwalkError when the file is no core that can be read or lldb refuses it.
    """
    with ExitStack() as stack:
        progress("reading the core's headers")
        core = open_core(path, temp_dir, watch)
        progress("matching modules")
        search = stack.enter_context(ModuleSearch(core, modules, temp_dir, search_seconds))
        found = [(image, search.find(image)) for image in core.images]
        core = replace(core, notes=(*core.notes, *search.notes))
        source = stack.enter_context(Source.of_core(core, watch=watch))
        source.files_named = search.named
        source.add_files([m for m in (search.memory(image, match) for image, match in found) if m is not None])
        if lldb is not None:
            progress("loading the core in lldb")
            process, session = open_with_lldb(lldb, source, found, debug_files)
            if not keep_session:
                stack.callback(session.close)
        else:
            process = open_bare(source, found, why_bare or "lldb was not used")
        yield process


def open_with_lldb(lldb: Any, source: Source, found: Found, debug_files: bool = False) -> Tuple[Process, LldbSession]:
    """The process as lldb unwinds it. Raises DebuggerFailed when lldb refuses the core, or must not see it."""
    core = _core_of(source)
    _refuse_odd_files(core)
    session = LldbSession(lldb, core, found, debug_files)
    symbols = LldbSymbols(lldb, session.target)
    unwinder = source.unwinder(lldb, ModuleMap(session.modules), symbols)
    threads = _threads(core, session, unwinder)
    return source.process(threads, session.modules, symbols, not core.threads_cut, session.version, unwinder), session


def _core_of(source: Source) -> CoreFile:
    assert source.core is not None, "a core file's bytes are asked for"
    return source.core


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
    by_index = {}
    for position in range(session.process.GetNumThreads()):
        handle = session.process.GetThreadAtIndex(position)
        by_index[handle.GetIndexID()] = handle
    handles = [by_index[i] for i in sorted(by_index)]
    by_tid = {h.GetThreadID(): h for h in handles} if core.os == "linux" else {}
    twice = {tid for tid, count in Counter(t.tid for t in core.threads).items() if tid is not None and count > 1}
    pc, taken, free = arch_for(core.os, core.arch).pc, set(), max(by_index, default=0)
    for position, record in enumerate(core.threads):
        handle = by_tid.get(record.tid) if record.tid is not None else None
        if record.tid in twice:  # lldb has one thread of that id: the one that stands where this one does, and once
            if handle is not None and handle.GetFrameAtIndex(0).GetPC() != record.registers.get(pc):
                handle = None
        elif handle is None and position < len(handles):
            handle = handles[position]
        if handle is not None and handle.GetIndexID() in taken:
            handle = None
        free += handle is None
        index = handle.GetIndexID() if handle is not None else free
        taken.add(index)

        def unwind(of: Any = handle, number: int = index, own: Any = record.registers) -> Stack:
            return unwinder.frames(of, number, own) if of is not None else ([], None)

        threads.append(
            Thread(index, record.tid, record.tid_source, record.registers, record.signal, record.name, unwind)
        )
        threads[-1].in_debugger = handle is not None or not handles
    threads.sort(key=lambda t: t.index)
    return threads


def open_bare(source: Source, found: Found, why: str) -> Process:
    """The process without a debugger: registers from the core's notes, stacks by unwind data (unwinding/), no symbols.

    `why` is the sentence for the report's coverage: what happened to lldb.
    """
    core, memory, code = _core_of(source), source.memory, source.code
    modules = [
        Module(
            i.path,
            i.base,
            i.end,
            i.build_id,
            str(m.file) if m.file and m.match == "matched" else None,
            m.match,
            m.other,
        )
        for i, m in found
    ]
    stacks = BareStacks(core, memory, code, ModuleMap(modules))
    threads = [
        Thread(i + 1, t.tid, t.tid_source, t.registers, t.signal, t.name, partial(stacks.frames, t.registers))
        for i, t in enumerate(core.threads)
    ]
    process = source.process(threads, modules, NoSymbols(), not core.threads_cut, unwinding=stacks)
    process.module_facts["stacks"] = why
    return process
