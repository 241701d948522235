"""A `Process` out of a target that is already open in somebody's lldb session: a core or a live, stopped process.

Nothing is loaded, added, removed or set: the session's own modules, threads and frames are used as they are. Where the
target is a core whose file is known (core_path.py) and can be read, memory, registers and thread ids come
from the file, as on the command line: lldb shows no orig_rax, and reads slower. Else all comes through lldb.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, List, Mapping, NoReturn, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.binaries.search import Match, ModuleSearch
from dumpwalk.core.arch import ARCHES, Arch, arch_for
from dumpwalk.core.corefile import CoreFile, CoreThread
from dumpwalk.core.memory import Memory
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Frame, Module, Process, Symbol, Thread
from dumpwalk.core.recording import Watch, unwatched
from dumpwalk.core.vocabulary import MatchStatus, Os
from dumpwalk.debugger.core_path import core_paths
from dumpwalk.debugger.memory import CheckedMemory, LldbMemory
from dumpwalk.debugger.proc_syscall import add_system_calls
from dumpwalk.debugger.source import Source
from dumpwalk.debugger.stacks import LldbSymbols, Name, Unwinder
from dumpwalk.dump.preflight import open_core
from dumpwalk.errors import DumpwalkError, NotACore
from dumpwalk.images import elf_image, macho_image
from dumpwalk.images.elf_memory import memory_build_id
from dumpwalk.images.elf_symbols import VARIABLES, SymbolNames, readable
from dumpwalk.images.image_memory import ImageMemory
from dumpwalk.images.macho_images import image_header

_CORE_PLUGINS = ("elf-core", "mach-o-core", "minidump")
_COMPARED_THREADS = 16
_ARCHES = {"x86_64": "x86_64", "x86_64h": "x86_64", "arm64": "aarch64", "arm64e": "aarch64", "aarch64": "aarch64"}


class NoProcess(DumpwalkError):
    kind = "no-process"
    help_text = "Open a core with `target create --core FILE`, or attach to a process with `process attach --pid PID`."


class NotStopped(DumpwalkError):
    kind = "not-stopped"
    help_text = (
        "Stop it with `process interrupt`, analyse, then let it go on with `process continue` or `process detach`."
    )


@contextmanager
def process_of_target(
    lldb: Any,
    target: Any,
    modules: Sequence[str] = (),
    check: Callable[[], None] = lambda: None,
    watch: Watch = unwatched,
) -> Iterator[Process]:
    """The process of an SBTarget, for the time of the `with` block; the selected thread and frame are kept.

    `modules` are folders, files or archives with files that lldb does not have; they are read, never added to the target.
    `check` is called now and then and may raise to stop the work. What is read of the process's memory goes through `watch`
    (core/recording.py). Raises NoProcess, NotStopped, NotACore.
    """
    process = _stopped_process(lldb, target)
    with ExitStack() as stack:
        stack.callback(_selection(process))
        core = _core_of(process, watch)
        if core is not None:
            opened = _from_core(lldb, target, process, core, modules, check, watch, stack)
        else:
            opened = _through_lldb(lldb, target, process, check, watch, stack)
        selected = process.GetSelectedThread()
        opened.selected = int(selected.GetIndexID()) if selected.IsValid() else None
        yield opened


def name_of(process: Process) -> str:
    """What stands for a path in a report: the core's, or the live process's number."""
    if process.corefile is not None:
        return process.corefile.path
    return f"process {process.pid}" if process.live else "a core whose file is not known"


def _stopped_process(lldb: Any, target: Any) -> Any:
    if target is None or not target.IsValid():
        raise NoProcess("There is no target.")
    process = target.GetProcess()
    states = {
        lldb.eStateRunning: "is running",
        lldb.eStateStepping: "is running",
        lldb.eStateAttaching: "is being attached to",
        lldb.eStateLaunching: "is being launched",
    }
    state = process.GetState() if process.IsValid() else lldb.eStateInvalid
    if state in states:
        raise NotStopped(f"The process {process.GetProcessID()} {states[state]}, so it cannot be looked at.")
    if state not in (lldb.eStateStopped, lldb.eStateSuspended, lldb.eStateCrashed) or process.GetNumThreads() == 0:
        raise NoProcess("The target has no process that could be looked at: it has not been started, or it has ended.")
    return process


def _selection(process: Any) -> Callable[[], None]:
    """What puts back the thread and frame that are selected now."""
    thread = process.GetSelectedThread()
    number = thread.GetIndexID()
    frame = thread.GetSelectedFrame()
    index = frame.GetFrameID() if frame.IsValid() else 0

    def restore() -> None:
        now = process.GetSelectedThread()
        if now.GetIndexID() != number:
            process.SetSelectedThreadByIndexID(number)
            now = process.GetSelectedThread()
        if now.GetSelectedFrame().GetFrameID() != index:
            now.SetSelectedFrame(index)

    return restore


# --- a core whose file is known


def _core_of(process: Any, watch: Watch) -> Optional[CoreFile]:
    """The core's file as dumpwalk reads it; None when it is not known, not readable or not what lldb has loaded."""
    for path in core_paths(process):
        try:
            core = open_core(path, _no_expansion, watch)
        except DumpwalkError:
            continue
        if _same(process, core):
            return core
    return None


def _no_expansion() -> NoReturn:
    raise NotACore("lldb cannot have loaded a compressed core.")


def _same(process: Any, core: CoreFile) -> bool:
    """The file is still the one that lldb loaded: as many threads, standing at the same places."""
    if process.GetNumThreads() != len(core.threads):
        return False
    arch = ARCHES.get((core.os, core.arch))
    if arch is None:
        return False
    for handle, record in list(_paired(process, core))[:_COMPARED_THREADS]:
        pc = handle.GetFrameAtIndex(0).GetPC()
        mask = (1 << 47) - 1 if core.arch == "aarch64" else (1 << 64) - 1
        if record is None or (pc ^ record.registers.get(arch.pc, 0)) & mask:
            return False
    return True


def _paired(process: Any, core: CoreFile) -> Iterator[Tuple[Any, Optional[CoreThread]]]:
    """lldb's threads in order of their index ids, each with the core's record: by tid on Linux, else by position."""
    handles = sorted(_handles(process), key=lambda h: h.GetIndexID())
    by_tid: Dict[int, CoreThread] = {}
    if core.os == "linux":
        by_tid = {t.tid: t for t in core.threads if t.tid is not None}
        if len(by_tid) < len(core.threads):
            by_tid = {}  # a tid stands twice: by position
    for position, handle in enumerate(handles):
        at = core.threads[position] if position < len(core.threads) else None
        yield handle, by_tid.get(handle.GetThreadID(), at)


def _handles(process: Any) -> List[Any]:
    return [process.GetThreadAtIndex(i) for i in range(min(process.GetNumThreads(), limits.THREADS))]


def _from_core(
    lldb: Any,
    target: Any,
    process: Any,
    core: CoreFile,
    paths: Sequence[str],
    check: Callable[[], None],
    watch: Watch,
    stack: ExitStack,
) -> Process:
    source = stack.enter_context(Source.of_core(core, check, watch))
    search = stack.enter_context(ModuleSearch(core, paths))
    modules, files = _core_modules(lldb, target, core, search, source.memory)
    source.add_files(files)
    source.core = replace(core, notes=(*core.notes, *search.notes))
    source.files_named = search.named
    symbols = _SessionSymbols(lldb, target, ModuleMap(modules), source.memory)
    unwinder = source.unwinder(lldb, ModuleMap(modules), symbols)
    if core.os == "linux":
        unwinder.unloaded = _named_by_files(source.memory)
    threads = []
    for handle, record in _paired(process, core):
        if record is not None:
            threads.append(_thread(handle, unwinder, record.registers, record, check))
    return source.process(threads, modules, symbols, not core.threads_cut, _version(lldb), unwinder)


class _SessionSymbols(LldbSymbols):
    """lldb's, and the variables of modules whose file was found and that it has not loaded."""

    def __init__(self, lldb: Any, target: Any, modules: ModuleMap, memory: Memory) -> None:
        super().__init__(lldb, target)
        self._modules = modules
        self._variables = SymbolNames(memory, VARIABLES)

    def symbol_at(self, address: int) -> Optional[Symbol]:
        found = super().symbol_at(address)
        module = self._modules.at(address) if found is None else None
        if module is None or module.file is None or module.base is None:
            return found
        named = self._variables.at(module.base, module.file, address)
        return Symbol(readable(named.name), named.start, module.name) if named is not None else None


def _named_by_files(memory: Memory) -> Callable[[Module, int], Name]:
    """Functions of modules whose file was found and that lldb has not loaded: nothing is added to the target."""
    names = SymbolNames(memory)

    def named(module: Module, address: int) -> Name:
        found = names.at(module.base, module.file, address) if module.file and module.base is not None else None
        return (readable(found.name), found.start, "symbol") if found is not None else (None, None, "none")

    return named


def _thread(
    handle: Any,
    unwinder: Unwinder,
    registers: Mapping[str, int],
    record: Optional[CoreThread],
    check: Callable[[], None],
) -> Thread:
    index = handle.GetIndexID()

    def unwind() -> Tuple[List[Frame], Optional[str]]:
        check()
        return unwinder.frames(handle, index, registers)

    if record is not None:
        return Thread(index, record.tid, record.tid_source, registers, record.signal, record.name, unwind)
    return Thread(index, handle.GetThreadID(), "os", registers, None, handle.GetName(), unwind)


def _core_modules(
    lldb: Any, target: Any, core: CoreFile, search: ModuleSearch, memory: Memory
) -> Tuple[List[Module], List[ImageMemory]]:
    """Every image of the core: with lldb's file when that is the same build, else with what the search finds."""
    loaded = _loaded(lldb, target)
    modules: List[Module] = []
    files: List[ImageMemory] = []
    for image in core.images:
        have = loaded.pop(image.base, None)
        path = _file_of(have)
        match = search.find(image)
        if path and image.build_id and not _same_build(_uuid(have), image.build_id):
            match = Match(
                None, "mismatched", image.build_id, other=path
            )  # lldb shows this image by another build's file
        elif path and image.build_id and match.match != "matched":
            match = Match(path, "matched", image.build_id)
        bytes_of_file = search.memory(image, match)
        if bytes_of_file is not None:
            files.append(bytes_of_file)
        elif match.match == "matched" and have is None:
            match = Match(None, "unverified", image.build_id)  # a managed assembly: no image of lldb's
        end = image.end
        if have is not None:
            end = max(end or 0, _end_of(lldb, target, have, image.base, core.os))
        modules.append(Module(image.path, image.base, end, image.build_id, match.file, match.match, match.other))
    for base, module in loaded.items():
        modules.append(_described(lldb, target, module, base, memory, core.os))
    modules.sort(key=lambda m: (m.base is None, m.base or 0, m.path))
    return modules, files


# --- a live process, or a core that only lldb can read


def _through_lldb(
    lldb: Any, target: Any, process: Any, check: Callable[[], None], watch: Watch, stack: ExitStack
) -> Process:
    system, name = _platform(target)
    arch = arch_for(system, name)
    live = process.GetPluginName() not in _CORE_PLUGINS
    pid = int(process.GetProcessID()) or None
    memory = watch(CheckedMemory(LldbMemory(lldb, process), check))
    source = stack.enter_context(Source(system, arch, memory, pid=pid, live=live))
    modules = [_described(lldb, target, module, base, memory, system) for base, module in _loaded(lldb, target).items()]
    modules.sort(key=lambda m: (m.base or 0, m.path))
    source.add_files([] if live else _files_of(modules, system))
    symbols = LldbSymbols(lldb, target)
    unwinder = source.unwinder(lldb, ModuleMap(modules), symbols)
    threads = []
    for handle in sorted(_handles(process), key=lambda h: h.GetIndexID()):
        check()
        threads.append(_thread(handle, unwinder, _registers(handle, arch), None, check))
    if live and system == "linux" and pid is not None and target.GetPlatform().GetName() == "host":
        threads = add_system_calls(pid, arch, threads)
    return source.process(threads, modules, symbols, live and len(threads) < limits.THREADS, _version(lldb), unwinder)


def _platform(target: Any) -> Tuple[Os, str]:
    """(os, arch) from the triple: `x86_64-pc-linux-gnu`, `x86_64--linux`, `arm64-apple-macosx14.0.0`."""
    triple = target.GetTriple() or ""
    name = _ARCHES.get(triple.split("-")[0], "")
    system: Optional[Os] = "linux" if "-linux" in triple else "macos" if "-apple-" in triple else None
    if system is None or (system, name) not in ARCHES:
        raise NotACore(f"The target's platform is {triple or 'not known'}; processes of Linux and macOS are analysed.")
    return system, name


def _registers(handle: Any, arch: Arch) -> Mapping[str, int]:
    """Frame 0's general registers."""
    frame = handle.GetFrameAtIndex(0)
    found = {}
    for name in (*arch.general, arch.pc, arch.sp, arch.fp, arch.lr, arch.thread_pointer):
        if not name:
            continue
        value = frame.FindRegister(name)
        if value.IsValid() and value.GetValue() is not None:
            found[name] = int(value.GetValueAsUnsigned())
    return found


def _files_of(modules: Sequence[Module], system: str) -> List[ImageMemory]:
    """A live process holds all of its code; a core that only lldb can read may need the modules' files."""
    files = []
    for module in modules:
        if module.file is None or module.base is None:
            continue
        try:
            if system == "linux":
                ranges = elf_image.read_only_ranges(module.file, module.base)
            else:
                ranges = macho_image.read_only_ranges(module.file, module.base, module.build_id)
        except (OSError, ValueError):
            continue
        files.append(ImageMemory(module.file, ranges))
    return files


# --- modules of the target


def _loaded(lldb: Any, target: Any) -> Dict[int, Any]:
    """The target's modules by load address, those that are loaded; the first of two at one address."""
    loaded: Dict[int, Any] = {}
    for index in range(min(target.GetNumModules(), limits.IMAGES)):
        module = target.GetModuleAtIndex(index)
        base = module.GetObjectFileHeaderAddress().GetLoadAddress(target)
        if base != lldb.LLDB_INVALID_ADDRESS:
            loaded.setdefault(int(base), module)
    return loaded


def _described(lldb: Any, target: Any, module: Any, base: int, memory: Memory, system: str) -> Module:
    """A module of the target, compared with the build-id that the process's memory holds at its place."""
    spec = module.GetPlatformFileSpec() if hasattr(module, "GetPlatformFileSpec") else module.GetFileSpec()
    path = str(spec if spec.GetFilename() else module.GetFileSpec())
    file, uuid = _file_of(module), _uuid(module)
    held = _memory_id(memory, base, system)
    match: MatchStatus = "unverified"
    if held and uuid and file:
        match = "matched" if _same_build(uuid, held) else "mismatched"
    end = _end_of(lldb, target, module, base, system)
    return Module(path, base, end, held or uuid, file if match == "matched" else None, match)


def _memory_id(memory: Memory, base: int, system: str) -> Optional[str]:
    if system == "linux":
        return memory_build_id(memory, base)
    header = image_header(memory, base)
    return header.uuid if header is not None else None


def _file_of(module: Optional[Any]) -> Optional[str]:
    path = module.GetFileSpec().fullpath if module is not None and module.GetFileSpec().IsValid() else None
    return path if path and os.path.isfile(path) else None


def _uuid(module: Any) -> Optional[str]:
    return (module.GetUUIDString() or "").replace("-", "").lower() or None


def _same_build(uuid: Optional[str], build_id: str) -> bool:
    """lldb keeps 20 bytes at most of a longer build-id."""
    wanted = build_id.lower()
    return bool(uuid) and (uuid == wanted or (len(uuid or "") >= 32 and wanted.startswith(uuid or "")))


def _end_of(lldb: Any, target: Any, module: Any, base: int, system: str) -> int:
    """End of the module's last section in memory; on macOS without __LINKEDIT, which may lie in the shared cache."""
    end = base
    for index in range(module.GetNumSections()):
        section = module.GetSectionAtIndex(index)
        start = section.GetLoadAddress(target)
        if start == lldb.LLDB_INVALID_ADDRESS or not base <= start < base + (1 << 32):
            continue
        if system == "linux" or section.GetName() != "__LINKEDIT":
            end = max(end, int(start + section.GetByteSize()))
    return end


def _version(lldb: Any) -> str:
    words = str(lldb.SBDebugger.GetVersionString()).split()
    return next((w for w in words if w[:1].isdigit()), "unknown")
