"""Where a process's bytes come from, and the one place that builds a `Process`: it owns and closes what it opens."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Callable, List, Optional, Sequence, Type

from dumpwalk.core.arch import Arch, arch_for
from dumpwalk.core.corefile import CoreFile
from dumpwalk.core.memory import FileMemory, LayeredMemory, Memory
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Module, Process, SymbolSource, Thread, Unwinding
from dumpwalk.core.recording import Watch, unwatched
from dumpwalk.core.vocabulary import Os
from dumpwalk.debugger.memory import CheckedMemory
from dumpwalk.debugger.stacks import Unwinder
from dumpwalk.images.image_memory import ImageMemory


class Source:
    """A process's memory, then the read-only bytes of matched module files behind it (`code`). A context manager."""

    def __init__(
        self,
        system: Os,
        arch: Arch,
        memory: Memory,
        core: Optional[CoreFile] = None,
        pid: Optional[int] = None,
        live: bool = False,
    ) -> None:
        self.os, self.arch, self.core, self.pid, self.live = system, arch, core, pid, live
        self.memory = memory
        self.code = memory
        self.files_named: Callable[[str], Sequence[str]] = lambda path: ()
        """See Process.files_named."""
        self._owned = ExitStack()

    @classmethod
    def of_core(cls, core: CoreFile, check: Optional[Callable[[], None]] = None, watch: Watch = unwatched) -> Source:
        """The core's own bytes, read through `watch`. `check` is called now and then and may raise to stop the work. Raises
        OSError."""
        file = FileMemory(core.file, core.segments)
        memory = watch(file if check is None else CheckedMemory(file, check))
        source = cls(core.os, arch_for(core.os, core.arch), memory, core, core.pid)
        source._owned.callback(file.close)
        return source

    def add_files(self, files: Sequence[ImageMemory]) -> None:
        """Matched module files, which are closed with the source."""
        for file in files:
            self._owned.callback(file.close)
        if files:
            self.code = LayeredMemory([self.code, *files])

    def unwinder(self, lldb: Any, modules: ModuleMap, symbols: Any) -> Unwinder:
        mask = self.core.pac_mask if self.core is not None else 0
        segments = self.core.regions if self.core is not None else self.memory.segments()
        return Unwinder(lldb, self.arch, self.memory, self.code, modules, symbols, mask, segments)

    def process(
        self,
        threads: List[Thread],
        modules: List[Module],
        symbols: SymbolSource,
        threads_complete: bool,
        debugger_version: Optional[str] = None,
        unwinding: Optional[Unwinding] = None,
    ) -> Process:
        """The process of these threads and modules. It must not be used after `close`."""
        return Process(
            arch=self.arch,
            os=self.os,
            pid=self.pid,
            threads=threads,
            modules=modules,
            memory=self.memory,
            code=self.code,
            symbols=symbols,
            corefile=self.core,
            debugger_version=debugger_version,
            files_named=self.files_named,
            live=self.live,
            unwinding=unwinding,
            threads_complete=threads_complete,
        )

    def close(self) -> None:
        self._owned.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()
