"""What Python programs and lldb sessions may call: documented in docs/api.md, and re-exported by the package."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional, Sequence

from dumpwalk import limits
from dumpwalk.core.process import Process
from dumpwalk.errors import NoLldb, as_error
from dumpwalk.report.model import FailedCore, Report

if TYPE_CHECKING:
    from dumpwalk.evidence.wanted import Wanted


def analyze(core: Any, modules: Sequence[str] = ()) -> Report:
    """The report of a core's path or of an SBTarget. Raises DumpwalkError.

    A path is analysed in a child process, so that a crash of lldb is an error and not the end; inside lldb, where a fork
    would copy the session, in this one.
    """
    if _is_target(core):
        return analyze_target(core, modules)
    path = os.fspath(core)
    if _inside_lldb():
        from dumpwalk.engine.run import Options, analyze_core
        from dumpwalk.scratch import private_folder

        with private_folder() as temp_dir:
            return analyze_core(path, Options(modules=tuple(modules)), _lldb(), temp_dir)
    from dumpwalk.engine.run import Options
    from dumpwalk.jobs import isolation

    outcome = isolation.analyze_all([path], Options(modules=tuple(modules)), limits.DEFAULT_TIMEOUT_SECONDS)[0]
    if isinstance(outcome, FailedCore):
        raise as_error(outcome.error, outcome.exit_code, outcome.error_kind)
    return outcome


def analyze_target(
    target: Any,
    modules: Sequence[str] = (),
    progress: Callable[[str], None] = lambda phase: None,
    held_by: Sequence[str] = (),
    evidence: Sequence[Wanted] = (),
    wants: Sequence[str] = (),
) -> Report:
    """The report of an SBTarget's process, without loading it again. `progress` may raise to stop the work."""
    from dumpwalk.debugger.target import name_of, process_of_target
    from dumpwalk.engine.run import analyze_process
    from dumpwalk.evidence.keeper import Keeper

    def check() -> None:
        progress("reading the process's memory")

    keeper = Keeper(evidence)
    with process_of_target(_lldb(), target, modules, check, keeper.watch) as process:
        return analyze_process(process, name_of(process), progress, held_by=held_by, then=keeper.write, wants=wants)


@contextmanager
def open_core(core: Any, modules: Sequence[str] = ()) -> Iterator[Process]:
    """The process of a core's path or of an SBTarget. Raises DumpwalkError."""
    from dumpwalk.debugger.open import opened
    from dumpwalk.debugger.target import process_of_target
    from dumpwalk.scratch import folder_on_demand

    if _is_target(core):
        with process_of_target(_lldb(), core, modules) as process:
            yield process
        return
    lldb, why = _usable_lldb()
    with folder_on_demand() as temp_dir, opened(os.fspath(core), modules, lldb, temp_dir, why_bare=why) as process:
        yield process


def _is_target(value: Any) -> bool:
    return hasattr(value, "GetProcess") and hasattr(value, "GetTriple")


def _inside_lldb() -> bool:
    """In the Python of an lldb program, which sets the module's own debugger."""
    debugger = getattr(sys.modules.get("lldb"), "debugger", None)
    return debugger is not None and bool(debugger.IsValid())


def _lldb() -> Any:
    from dumpwalk.debugger.discovery import import_lldb

    return import_lldb()


def _usable_lldb() -> tuple[Optional[Any], str]:
    try:
        return _lldb(), ""
    except NoLldb as error:
        return None, error.sentence()
