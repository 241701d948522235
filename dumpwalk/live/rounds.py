"""A live process looked at until one moment holds all that the analysis asks for.

What an analysis will read is not known before it has read it, and reading takes longer than a process may be stopped. So the
process is stopped for registers, stacks and variables only; the analysis runs over that, and what it misses it reads while
the process goes on, and notes. Then the process is stopped again, and all of it is read in one moment; and so on until
nothing is missed. A hung process does not move, so the second time is the last as a rule.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.binaries.search import ModuleSearch
from dumpwalk.core.corefile import CoreFile, LiveLook
from dumpwalk.core.memory import Memory
from dumpwalk.core.process import Process
from dumpwalk.core.recording import Watch, unwatched
from dumpwalk.dataclass import dataclass
from dumpwalk.debugger.open import open_bare, open_with_lldb
from dumpwalk.debugger.source import Source
from dumpwalk.dump.preflight import open_core
from dumpwalk.live.core_file import write
from dumpwalk.live.memory import LiveMemory, ProcessMemory
from dumpwalk.live.snapshot import Snapshot, take
from dumpwalk.live.target import CannotTrace, LiveTarget, NoSuchProcess, forbidden, live_target

Range = Tuple[int, int]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """One time that the process was stopped, and it as it stood then."""

    process: Process
    memory: LiveMemory
    last: bool
    """No further one follows, whatever was missed."""

    def late(self) -> List[Range]:
        """What had to be read after the process went on."""
        return self.memory.late.runs()


@contextmanager
def process_memory(target: LiveTarget) -> Iterator[ProcessMemory]:
    """Raises CannotTrace, NoSuchProcess."""
    try:
        memory = ProcessMemory(target.pid)
    except PermissionError:
        raise forbidden(target) from None
    except (FileNotFoundError, ProcessLookupError):
        raise NoSuchProcess(f"Process {target.pid} has ended.") from None
    except OSError as error:
        raise CannotTrace(f"The memory of process {target.pid} cannot be opened ({error.strerror or error}).") from None
    try:
        yield memory
    finally:
        memory.close()


def rounds(
    pid: int,
    folder: str,
    modules: Sequence[str] = (),
    lldb: Optional[Any] = None,
    progress: Progress = lambda phase: None,
    why_bare: str = "",
    search_seconds: Optional[float] = None,
    debug_files: bool = False,
    watch: Watch = unwatched,
) -> Iterator[Round]:
    """The process as it stood, stopped again as long as the analysis of the round before missed something. Each round is closed
    when the next is asked for. `folder` is a private one.

    Raises NoSuchProcess, CannotTrace, DumpwalkError; OSError where the folder has no room.
    """
    target = live_target(pid)
    wanted: List[Range] = []
    with process_memory(target) as memory:
        for number in range(1, limits.SNAPSHOT_ROUNDS + 1):
            progress("stopping the process")
            snapshot = take(target, memory, wanted)
            path = os.path.join(folder, f"process.{number}")
            write(snapshot, path)
            look = _look(snapshot, number)
            with ExitStack() as stack:
                live, process = _opened(
                    stack, path, look, snapshot, memory, modules, lldb, folder, progress, why_bare, search_seconds,
                    debug_files, watch,
                )  # fmt: skip
                this = Round(process, live, number == limits.SNAPSHOT_ROUNDS)
                yield this
                late = this.late()
            os.unlink(path)
            if not late:
                return
            wanted += late


def _look(snapshot: Snapshot, number: int) -> LiveLook:
    pid = snapshot.target.pid
    return LiveLook(
        taken=snapshot.taken,
        seconds=snapshot.seconds,
        stops=number,
        started=snapshot.target.started,
        switches=snapshot.switches,
        unstopped=snapshot.unstopped,
        left_out=snapshot.left_out,
        other_files=_namespace(pid) != _namespace(os.getpid()),
    )


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def _opened(
    stack: ExitStack,
    path: str,
    look: LiveLook,
    snapshot: Snapshot,
    memory: ProcessMemory,
    modules: Sequence[str],
    lldb: Optional[Any],
    folder: str,
    progress: Progress,
    why_bare: str,
    search_seconds: Optional[float],
    debug_files: bool,
    watch: Watch,
) -> Tuple[LiveMemory, Process]:
    core = open_core(path, lambda: folder)
    made: List[LiveMemory] = []

    def over(file: Memory) -> Memory:
        made.append(LiveMemory(file, memory, snapshot.maps))
        return watch(made[0])

    progress("matching modules")
    search = stack.enter_context(ModuleSearch(core, modules, lambda: folder, search_seconds))
    found = [(image, search.find(image)) for image in core.images]
    source = stack.enter_context(Source.of_core(replace(core, notes=(*core.notes, *search.notes)), watch=over))
    source.core = _as_process(core, made[0], look, search.notes)
    source.live = True
    source.files_named = search.named
    source.add_files([m for m in (search.memory(image, match) for image, match in found) if m is not None])
    if lldb is not None:
        progress("loading the process in lldb")
        process, session = open_with_lldb(lldb, source, found, debug_files)
        stack.callback(session.close)
    else:
        process = open_bare(source, found, why_bare or "lldb was not used")
    return made[0], process


def _as_process(core: CoreFile, memory: LiveMemory, look: LiveLook, notes: Sequence[str]) -> CoreFile:
    """The file's own view of itself replaced by what the process has: all of its memory can be read."""
    return replace(
        core,
        path=f"process {core.pid}",
        kind="live",
        producer="dumpwalk",
        segments=tuple(memory.segments()),
        parts_of=(),
        evidence=None,
        threads_cut=bool(look.unstopped),
        notes=(*core.notes, *notes),
        live=look,
    )
