"""Which other language's runtime a process is, and who can read its locks: their field is not dumpwalk's.

By the names of mapped files and of the program; Go by the build information that its linker leaves in the data segment
(`\\xff Go buildinf:`, debug/buildinfo); .NET without CoreCLR by coreclr/other_dotnet.py; Rust by the compiler's line in the
program's file (.comment), or by functions of its standard library on the stacks: nothing of a Rust program's own data says it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Iterator, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory, for_search
from dumpwalk.core.process import Module, Process
from dumpwalk.coreclr.open_image import open_image
from dumpwalk.coreclr.other_dotnet import aot_header_at, is_mono, is_native_aot
from dumpwalk.dataclass import dataclass
from dumpwalk.images.elf_image import comments

_GO = b"\xff Go buildinf:"
_SEARCHED_BYTES = 64 << 20
_CORECLR_NAMES = ("libcoreclr.",)
"""The .NET SDK's Mono runtime bears CoreCLR's file name (src/mono/mono/mini)."""


@dataclass(frozen=True)
class OtherRuntime:
    name: str
    advice: str
    """Which tool shows its locks."""
    how: str
    """What it was recognised by."""
    words_only: bool = False
    """Its locks are futex words of their own: semaphores and conditions of the C library are none of it."""
    dotnet: bool = False
    """It is .NET, without CoreCLR."""


@dataclass(frozen=True)
class OtherLook:
    runtime: Optional[OtherRuntime]


_MONO_ADVICE = "it is .NET without CoreCLR: lldb with Mono's symbols shows its stacks (mono_pmip)"
_BY_NAME: Tuple[Tuple[str, str, str], ...] = (
    (
        r"libpython\d[\d.]*[a-z]*\.(so.*|dylib)|python(\d(\.\d+)?t?)?",
        "CPython",
        "pystack shows its stacks and locks: pystack core CORE",
    ),
    (r"libjvm\.(so|dylib)", "Java (HotSpot)", "jhsdb shows its monitors: jhsdb jstack --exe JAVA --core CORE"),
    (r"libmono(sgen|boehm)?-[\d.]+\.(so.*|dylib)|mono(-sgen|-boehm)?", "Mono", _MONO_ADVICE),
    (r"node|libnode\.(so.*|dylib)", "Node.js", "llnode shows its stacks and objects: llnode NODE -c CORE"),
    (r"libruby[\w.-]*\.(so.*|dylib)|ruby[\d.]*", "Ruby", "lldb with Ruby's symbols shows its threads"),
)
_GO_ADVICE = "delve shows its goroutines: dlv core PROGRAM CORE"
_AOT_ADVICE = "it is .NET without CoreCLR: lldb with the program's own symbols shows its stacks"
_RUST_ADVICE = "rust-lldb or rust-gdb with the program's own symbols shows what each lock's caller holds"
_RUST_COMPILER = b"rustc version"
_RUST_LIBRARY = re.compile(r"libstd-[0-9a-f]{16}\.(so|dylib)")
_RUST_FUNCTIONS = (
    "std::sys::",
    "std::sys_common::",
    "std::rt::lang_start",
    "parking_lot_core::",
    "core::ops::function::FnOnce",
)
"""C++'s std has none of these."""
_RUST_FRAMES = 24


def recognise(process: Process) -> Optional[OtherRuntime]:
    """The runtime, or None. The order is that of certainty: an image's own mark, a library, the program's name."""
    program = _program(process)
    marked = _go(process, program) or _of_dotnet(process, program)
    named = _by_name(process)
    if marked is None or named is None or named.name == marked.name:
        return marked or named or _rust(process, program)
    if program is not None and marked.how.endswith(program.name):
        return marked
    return replace(
        named,
        name=f"{named.name} with {marked.name}",
        advice=f"{named.advice}; {marked.advice}",
        how=f"{named.how}, {marked.how}",
        dotnet=named.dotnet or marked.dotnet,
    )


def _by_name(process: Process) -> Optional[OtherRuntime]:
    for pattern, name, advice in _BY_NAME:
        for module in _natives(process):
            if re.fullmatch(pattern, module.name):
                return OtherRuntime(name, advice, f"{module.name} is mapped", dotnet=name == "Mono")
    return None


def _go(process: Process, program: Optional[Module]) -> Optional[OtherRuntime]:
    if program is None or program.name.startswith("mono"):
        return None
    for start, piece in _data(process.memory, program):
        if _GO in piece:
            process.memory.read(start + piece.find(_GO), len(_GO))
            return OtherRuntime("Go", _GO_ADVICE, f"its linker's build information in {program.name}")
    return None


def _of_dotnet(process: Process, program: Optional[Module]) -> Optional[OtherRuntime]:
    """NativeAOT, in the program or in a library of it, or a Mono that bears CoreCLR's name."""
    modules = list(_natives(process))[: limits.IMAGES]
    for module in sorted(modules, key=lambda m: m is not program):
        if module.name.startswith(("libmono", "mono")):
            continue
        for start, piece in _data(process.memory, module):
            at = aot_header_at(start, piece)
            if at is not None:
                process.memory.read(at, 8)
                how = f"DotNetRuntimeDebugHeader at 0x{at:x}, in {module.name}"
                return OtherRuntime("NativeAOT", _AOT_ADVICE, how, dotnet=True)
        image = open_image(process.memory, module.base or 0, module.file if module.match == "matched" else None)
        if image is None:
            continue
        if is_native_aot(image):
            how = f"the runtime's own description in {module.name}"
            return OtherRuntime("NativeAOT", _AOT_ADVICE, how, dotnet=True)
        if module.name.startswith(_CORECLR_NAMES) and is_mono(image):
            how = f"{module.name} exports Mono's functions"
            return OtherRuntime("Mono", _MONO_ADVICE, how, dotnet=True)
    return None


def _rust(process: Process, program: Optional[Module]) -> Optional[OtherRuntime]:
    library = next((m.name for m in _natives(process) if _RUST_LIBRARY.fullmatch(m.name)), None)
    if library is not None:
        return OtherRuntime("Rust", _RUST_ADVICE, f"{library} is mapped", words_only=True)
    file = program.file if program is not None and program.match == "matched" else None
    if program is not None and file is not None and _RUST_COMPILER in comments(file):
        return OtherRuntime("Rust", _RUST_ADVICE, f"its compiler's line in {program.name}", words_only=True)
    for thread in process.threads[: limits.IMAGES]:
        for frame in thread.frames()[:_RUST_FRAMES]:
            name = (frame.function or "").lstrip("<") if frame.name_source == "symbol" else ""
            if name.startswith(_RUST_FUNCTIONS):
                how = f"a function of its standard library on the stack of thread {thread.index}"
                return OtherRuntime("Rust", _RUST_ADVICE, how, words_only=True)
    return None


def _natives(process: Process) -> Iterator[Module]:
    return (m for m in process.modules if m.base is not None and not m.name.startswith("["))


def _program(process: Process) -> Optional[Module]:
    """The executable: the first listed file that is no shared library."""
    return next((m for m in _natives(process) if ".so" not in m.name and not m.name.endswith(".dylib")), None)


def _data(memory: Memory, module: Module) -> Iterator[Tuple[int, bytes]]:
    """The captured writable memory of an image."""
    base, end = module.base or 0, module.end or 0
    for segment in memory.segments():
        if not segment.writable or segment.start >= end or segment.start + segment.file_size <= base:
            continue
        start = max(segment.start, base)
        size = min(segment.start + segment.file_size, end, start + _SEARCHED_BYTES) - start
        data = for_search(memory).read(start, size) if size > 0 else None
        if data is not None:
            yield start, data
