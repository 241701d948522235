"""Which other language's runtime a process is, and who can read its locks: their field is not dumpwalk's.

By the names of mapped files and of the program; Go by the build information that its linker leaves in the data segment
(`\\xff Go buildinf:`, debug/buildinfo); NativeAOT by the exported DotNetRuntimeDebugHeader, which begins with DNDH
(src/coreclr/nativeaot/Runtime/DebugHeader.cpp); Mono by its library or the exports of mono_jit_init.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

from dumpwalk.core.memory import Memory
from dumpwalk.core.process import Module, Process
from dumpwalk.coreclr.open_image import open_image
from dumpwalk.coreclr.runtime import is_other_dotnet

_GO = b"\xff Go buildinf:"
_AOT_HEADER = b"DNDH"
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


_MONO_ADVICE = "it is .NET without CoreCLR: lldb with Mono's symbols shows its stacks (mono_pmip)"


@dataclass(frozen=True)
class OtherLook:
    runtime: Optional[OtherRuntime]


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


def recognise(process: Process) -> Optional[OtherRuntime]:
    """The runtime, or None. The order is that of certainty: an image's own mark, a library, the program's name."""
    program = _program(process)
    for module in _natives(process):
        if module.name.startswith(("libmono", "mono")) or module is not program:
            continue
        data = _data(process.memory, module)
        for start, piece in data:
            if _GO in piece:
                return OtherRuntime("Go", _GO_ADVICE, f"its linker's build information in {module.name}")
            at = piece.find(_AOT_HEADER)
            while at >= 0:
                if (start + at) % 8 == 0 and 0 < int.from_bytes(piece[at + 4 : at + 6], "little") < 64:
                    return OtherRuntime("NativeAOT", _AOT_ADVICE, f"DotNetRuntimeDebugHeader at 0x{start + at:x}")
                at = piece.find(_AOT_HEADER, at + 1)
    for module in _natives(process):
        if module.name.startswith(_CORECLR_NAMES):
            image = open_image(process.memory, module.base or 0, module.file if module.match == "matched" else None)
            if image is not None and is_other_dotnet(image):
                return OtherRuntime("Mono", _MONO_ADVICE, f"{module.name} exports Mono's functions")
    for pattern, name, advice in _BY_NAME:
        for module in _natives(process):
            if re.fullmatch(pattern, module.name):
                return OtherRuntime(name, advice, f"{module.name} is mapped")
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
        data = memory.read(start, size) if size > 0 else None
        if data is not None:
            yield start, data
