"""Opens a core in lldb, quietly, and gives every image of the process its own file, before any frame is asked for.

What lldb does with each kind of core, and why each setting is here, was measured with lldb 14 to 22 (docs/lldb.md):
the executable is usually absent at its recorded path and then lldb lists no module; a library of another build is loaded
without a word; external symbol look-ups can take minutes; deep or cyclic stacks must be bounded by a setting.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import CoreFile, CoreImage
from dumpwalk.core.process import Module
from dumpwalk.core.vocabulary import MatchStatus
from dumpwalk.errors import DebuggerFailed
from dumpwalk.images import elf_image

_SETTINGS = (
    "settings set symbols.enable-external-lookup false",
    "settings set symbols.load-on-demand false",
    "settings set target.preload-symbols false",
    "settings set target.load-script-from-symbol-file false",
    "settings set target.load-cwd-lldbinit false",
    "settings set target.auto-install-main-executable false",
    "settings clear plugin.symbol-locator.debuginfod.server-urls",
    "settings set symbols.auto-download off",
    "settings set symbols.enable-background-lookup false",
    "settings set target.parallel-module-load false",
    "settings set plugin.jit-loader.gdb.enable off",
    "plugin disable instrumentation-runtime",
    f"settings set target.process.thread.max-backtrace-depth {limits.FRAMES_PER_THREAD}",
)


_DEBUG_FILES = "/usr/lib/debug"
_C_LIBRARY = (
    "libc.",
    "libc-",
    "ld-",
    "libpthread",
    "libm.",
    "libm-",
    "libdl",
    "librt",
    "libresolv",
    "libanl",
    "libutil",
)


def _wants_debug_file(image: CoreImage, all_of_them: bool = False) -> bool:
    """This machine has a debug file for it. Those of the C library are left alone: what it exports names its part of a
    stack, while its DWARF takes a third of the time and a quarter of the memory of loading a core, and makes the report
    depend on what is installed here."""
    if not image.build_id or (not all_of_them and os.path.basename(image.path).startswith(_C_LIBRARY)):
        return False
    at = os.path.join(_DEBUG_FILES, ".build-id", image.build_id[:2], image.build_id[2:] + ".debug")
    return os.path.isfile(at) or os.path.isfile(f"{_DEBUG_FILES}{image.path}.debug")


def _file_end(file: str, base: int) -> Optional[int]:
    """Where an ELF image of this file ends; None where it is none, or cannot be read."""
    try:
        return elf_image.loaded_end(file, base)
    except OSError:
        return None


_COMMAND_CHARACTERS = frozenset('"`\\\n\r')
"""A folder with one of these in its name is no search path: lldb's command line would take it apart or evaluate it."""


class LldbSession:
    """One core in one debugger. `target` and `process` are lldb's; `modules` says what each image was matched with."""

    def __init__(
        self, lldb: Any, core: CoreFile, found: Sequence[Tuple[CoreImage, Any]], debug_files: bool = False
    ) -> None:
        self.lldb = lldb
        self.core = core
        os.environ.pop("DEBUGINFOD_URLS", None)
        self.debugger = lldb.SBDebugger.Create(False)
        self.debugger.SetAsync(False)
        self._null = open(os.devnull, "w")  # noqa: SIM115 - lldb writes to it as long as the session lives
        self.debugger.SetOutputFile(lldb.SBFile(self._null))
        self.debugger.SetErrorFile(lldb.SBFile(self._null))
        self._interpreter = self.debugger.GetCommandInterpreter()
        self._result = lldb.SBCommandReturnObject()
        for command in _SETTINGS:
            self._run(command)
        if core.arch == "aarch64":
            self._run(f"settings set target.process.virtual-addressable-bits {47 if core.os == 'macos' else 48}")
        self.found = list(found)
        self._all_debug_files = debug_files
        self._search_paths()
        self.target, self.process = self._load()
        self.modules = self._modules()
        self._add_debug_files()

    def _run(self, command: str) -> bool:
        self._interpreter.HandleCommand(command, self._result, False)
        return bool(self._result.Succeeded())

    def _search_paths(self) -> None:
        """Folders of matched files, never the current folder; lldb then loads the libraries itself in one pass."""
        folders: List[str] = []
        for _, match in self.found:
            if match.file and match.match == "matched":
                folder = os.path.dirname(os.path.abspath(match.file))
                if folder not in folders and not _COMMAND_CHARACTERS & set(folder):
                    folders.append(folder)
        if folders and self.core.os == "macos":
            quoted = " ".join(f'"{f}"' for f in folders[:200])
            self._run(f"settings set target.exec-search-paths {quoted}")
        debug = [
            *([_DEBUG_FILES] if any(_wants_debug_file(i, self._all_debug_files) for i, _ in self.found) else []),
            *folders,
        ]
        if debug:
            self._run("settings set target.debug-file-search-paths " + " ".join(f'"{f}"' for f in debug[:200]))

    def _load(self) -> Tuple[Any, Any]:
        error = self.lldb.SBError()
        executable = self._executable() if self.core.os == "linux" else None
        target = self.debugger.CreateTarget(executable or "", None, None, False, error)
        if not target.IsValid():
            target = self.debugger.CreateTarget("", None, None, False, error)
        process = target.LoadCore(self.core.file, error)
        if not process.IsValid() or not error.Success():
            reason = error.GetCString() or "no reason given"
            raise DebuggerFailed(f"lldb {self.version} could not load this core ({reason}).")
        if process.GetNumThreads() == 0:
            raise DebuggerFailed(f"lldb {self.version} sees no thread in this core.")
        return target, process

    @property
    def version(self) -> str:
        words = str(self.lldb.SBDebugger.GetVersionString()).split()
        return next((w for w in words if w[:1].isdigit()), "unknown")

    def _executable(self) -> Optional[str]:
        """The matched file of the main program: the image that has the process's name, else none of the libraries."""
        name = (self.core.process_name or "").split("\0")[0]
        programs = [
            (i, m) for i, m in self.found if m.file and m.match == "matched" and ".so" not in os.path.basename(i.path)
        ]
        for image, match in programs:
            if name and os.path.basename(image.path).startswith(name[:15]):
                return str(match.file)
        return str(programs[0][1].file) if programs else None

    def _modules(self) -> List[Module]:
        """Every image of the core with the file that lldb uses for it; another build's file is taken out again."""
        loaded = self._loaded_by_base()
        modules: List[Module] = []
        for image, match in self.found:
            have = loaded.pop(image.base, None)
            if have is not None and not self._usable(have, image, match):
                self.target.RemoveModule(have)
                have = None
            if have is None and match.file and match.match == "matched":
                have = self._add(image, str(match.file))
            modules.append(self._describe(image, match, have))
        known = {m.base for m in modules}
        for base, module in loaded.items():  # what lldb found and no note records: the vdso, memory images
            if base in known or module.GetFileSpec().GetFilename() is None:
                continue
            path = str(module.GetFileSpec())
            build = (module.GetUUIDString() or "").replace("-", "").lower() or None
            if os.path.exists(path) and build is None:
                self.target.RemoveModule(module)  # a host file that nothing identifies
                continue
            if os.path.isfile(path) and not any(i.path == path for i, _ in self.found):
                self.target.RemoveModule(module)  # not an image of this process as far as the core tells
                continue
            modules.append(Module(path, base, self._end_of(module, base), build, None, "unverified"))
        modules.sort(key=lambda m: (m.base is None, m.base or 0, m.path))
        return modules

    def _add_debug_files(self) -> None:
        """The debug files that the user named or fetched: lldb gives each to the module of the same UUID, and to no other."""
        for _, match in self.found:
            if match.debug and match.match == "matched" and not _COMMAND_CHARACTERS & set(match.debug):
                self._run(f'target symbols add "{match.debug}"')

    def _loaded_by_base(self) -> Dict[int, Any]:
        loaded: Dict[int, Any] = {}
        for index in range(self.target.GetNumModules()):
            module = self.target.GetModuleAtIndex(index)
            base = module.GetObjectFileHeaderAddress().GetLoadAddress(self.target)
            if base != self.lldb.LLDB_INVALID_ADDRESS:
                loaded[base] = module
        return loaded

    def _usable(self, module: Any, image: CoreImage, match: Any) -> bool:
        """The module lldb chose is the build the core names. Without a build-id in the core, only the chosen match counts."""
        uuid = (module.GetUUIDString() or "").replace("-", "").lower()
        if image.build_id:
            wanted = image.build_id.lower()
            same = uuid == wanted or (len(uuid) >= 32 and wanted.startswith(uuid))
            if self.core.os == "macos" and same:
                return bool(os.path.isfile(str(module.GetFileSpec()))) or not match.file
            return same
        if not os.path.isfile(str(module.GetFileSpec())):
            return True  # read from the dump's own memory
        return bool(match.file) and os.path.realpath(str(module.GetFileSpec())) == os.path.realpath(str(match.file))

    def _add(self, image: CoreImage, file: str) -> Optional[Any]:
        if self.core.os == "linux" and _file_end(file, image.base) is None:
            return None  # an assembly: lldb reads all of it before it refuses it
        triple = None if self.core.os == "linux" else self.target.GetTriple()
        module = self.target.AddModule(file, triple, None)
        if not module.IsValid() and triple is not None:
            module = self.target.AddModule(file, None, None)
        if not module.IsValid():
            return None
        header = module.GetObjectFileHeaderAddress().GetFileAddress()
        slide = image.base - (0 if header == self.lldb.LLDB_INVALID_ADDRESS else header)
        error = self.target.SetModuleLoadAddress(module, slide)
        return module if error.Success() else None

    def _end_of(self, module: Any, base: int) -> int:
        """By the file's own headers, where there is one: for the list of a module's sections lldb reads its symbols, too."""
        file = str(module.GetFileSpec())
        told = _file_end(file, base) if self.core.os == "linux" and os.path.isfile(file) else None
        if told is not None:
            return told
        end = base
        for index in range(module.GetNumSections()):
            section = module.GetSectionAtIndex(index)
            start = section.GetLoadAddress(self.target)
            if start != self.lldb.LLDB_INVALID_ADDRESS and base <= start < base + (1 << 32):
                end = max(end, start + section.GetByteSize())
        return end

    def _describe(self, image: CoreImage, match: Any, loaded: Optional[Any]) -> Module:
        end = image.end
        if loaded is not None:
            end = (
                max(end or 0, self._end_of(loaded, image.base))
                if self.core.os == "linux"
                else self._text_end(loaded, image)
            )
        state: MatchStatus = match.match if loaded is not None or match.match != "matched" else "unverified"
        return Module(
            path=image.path,
            base=image.base,
            end=end,
            build_id=image.build_id or (match.build_id if match.match == "unverified" else None),
            file=str(match.file) if loaded is not None and match.file else None,
            match=state,
            other=match.other,
        )

    def _text_end(self, module: Any, image: CoreImage) -> int:
        """macOS: __LINKEDIT and __DATA may lie far away in the shared cache, so the module's range is __TEXT up."""
        end = image.end or image.base
        for index in range(module.GetNumSections()):
            section = module.GetSectionAtIndex(index)
            start = section.GetLoadAddress(self.target)
            if start != self.lldb.LLDB_INVALID_ADDRESS and section.GetName() != "__LINKEDIT":
                end = max(end, start + section.GetByteSize())
        return end

    def close(self) -> None:
        self.lldb.SBDebugger.Destroy(self.debugger)
        self._null.close()
