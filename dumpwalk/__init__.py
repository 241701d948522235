"""dumpwalk: a hang analyzer for .NET CoreCLR core dumps.

`analyze` gives the report, `open_core` the process for walks of one's own; docs/api.md documents both. Imported into lldb
(`command script import`), this package adds the `dumpwalk` command. Importing it costs nothing: the rest waits for a call.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own would cost a third of what `dumpwalk --help` takes to start
if TYPE_CHECKING:
    from typing import Any, ContextManager, Dict, Sequence

    from dumpwalk.core.process import Process
    from dumpwalk.report.model import Report

__version__ = "0.1.0"
__all__ = ["analyze", "open_core"]


def analyze(core: Any, modules: Sequence[str] = ()) -> Report:
    """The report of a core (a path) or of what an `lldb.SBTarget` holds: a core, or a live process that is stopped.

    `modules` are folders, files or archives that hold the process's own binaries. Raises errors.DumpwalkError.
    """
    from dumpwalk import api

    return api.analyze(core, modules)


def open_core(core: Any, modules: Sequence[str] = ()) -> ContextManager[Process]:
    """The process in a core (a path) or in an `lldb.SBTarget`, for the time of a `with` block.

    Raises errors.DumpwalkError on entering the block. Without a usable lldb the stacks of a core are followed by frame
    pointer and have no symbols.
    """
    from dumpwalk import api

    return api.open_core(core, modules)


def __lldb_init_module(debugger: Any, internal_dict: Dict[str, Any]) -> None:
    """lldb calls this after `command script import`."""
    from dumpwalk.front import lldb_init

    lldb_init.register(debugger)
