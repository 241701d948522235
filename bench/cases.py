"""The cores that are measured, each with the commands that look at it.

Every tool gets the same program and the same folders of binaries; the debuggers' own start-up files and look-ups in the
network are off for all.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from fixtures import busy, managed_crowds, many_tasks, packages, scale

WORK = Path(__file__).resolve().parent.parent / "build" / "bench"
NET_3_1 = "dotnet-3.1.23-linux-x64"
NET_8 = "dotnet-8.0.4-linux-x64"
NET_9 = "azmcp-0.5.0-linux-x64"
QUICK = ("hang-self", "net9-hang-self", "net10-sample", "managed-hall", "busy-58000", "crowd-2000", "cache-100000")
ALL = (
    *QUICK,
    *managed_crowds.MODES,
    "healthy",
    "crowd-10000",
    "cache-1000000",
    "chain-100000",
    "sparse-8g",
    "dense-1g",
    "tasks-1000000",
)
FIFTY = 50


@dataclass(frozen=True)
class Case:
    name: str
    core: Path
    program: Optional[Path]
    """The process's executable."""
    folders: Sequence[Path]
    """Where its libraries are."""
    modules: Sequence[Path]
    """What dumpwalk gets as -m: a folder is searched below, so one stands for all."""


def case(name: str, sample_modules: Optional[Path] = None) -> Case:
    """The core is unpacked or made, and the packages fetched, where they are not here yet.

    No registry carries the binaries of net10-sample: `sample_modules` is a folder that holds them.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    if name == "net10-sample":
        core = scale.plain_core("samples/linux-x64-10.0.12-hang-sample", WORK)
        if sample_modules is None:
            return Case(name, core, None, (), ())
        folders = sorted({path.parent for path in sample_modules.rglob("libcoreclr.so")})
        program = next(iter(sorted(sample_modules.rglob("dotnet"))), None)
        return Case(name, core, program, folders, (sample_modules,))
    if name == "busy-58000":
        core = busy.ensure(WORK / f"{name}.core")
    elif name == "tasks-1000000":
        core = many_tasks.ensure(WORK / f"{name}.core")
    elif name in managed_crowds.MODES:
        core = managed_crowds.ensure(name, WORK / f"{name}.core")
    elif name == "managed-hall":
        core = scale.plain_core("hangs/net8-hall", WORK)
    else:
        core = scale.ensure(name, WORK) if name in scale.SCALE else scale.plain_core(name, WORK)
    if name.startswith("crowd-"):
        return Case(name, core, WORK / "bin" / "crowd", (WORK / "bin",), (WORK / "bin",))
    if name in ("net9-hang-self", "dense-1g", "busy-58000", "tasks-1000000"):
        root = packages.fetch(NET_9)
        folder = root / "package" / "dist"
        return Case(name, core, folder / "azmcp", (folder,), (root,))
    if name.startswith("managed-"):
        root = packages.runtime_folder(NET_8)
        folders = [packages.framework_folder_8(), *root.glob("host/fxr/*")]
        return Case(name, core, root / "dotnet", folders, (root,))
    root = packages.fetch(NET_3_1)
    home = root / "dotnetcore2" / "bin"
    shared = home / "shared" / "Microsoft.NETCore.App" / "3.1.23"
    return Case(name, core, home / "dotnet", (shared, home / "host" / "fxr" / "3.1.23"), (root,))


def commands(of: Case) -> Dict[str, List[str]]:
    """Name of the tool to its command line; a tool that is not installed is left out."""
    found = {"dumpwalk": dumpwalk([of.core], of.modules)}
    lldb, gdb = lldb_program(), shutil.which("gdb")
    if lldb is not None:
        found["lldb"] = lldb_backtrace(lldb, of)
        found["lldb, no debug files"] = lldb_backtrace(lldb, of, debug_files=False)
    if gdb is not None:
        found["gdb"] = [
            gdb, "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set auto-load no",
            "-iex", "set solib-search-path " + ":".join(map(str, of.folders)),
            "-ex", "thread apply all bt", *([str(of.program)] if of.program else []), "-c", str(of.core),
        ]  # fmt: skip
    return found


def dumpwalk(cores: Sequence[Path], modules: Sequence[Path]) -> List[str]:
    options = [word for path in modules for word in ("-m", str(path))]
    return [sys.executable, "-m", "dumpwalk", "analyze", *map(str, cores), *options]


def lldb_backtrace(lldb: str, of: Case, debug_files: bool = True) -> List[str]:
    """`lldb -b -o 'bt all' PROGRAM -c CORE`, with the folders of its libraries.

    By itself lldb reads what /usr/lib/debug has, the C library's DWARF on many machines; without `debug_files` it does
    not, which is what it does where none are installed.
    """
    settings = [] if debug_files else ["-O", "settings set symbols.enable-external-lookup false"]
    for folder in of.folders:
        settings += ["-O", f'settings append target.exec-search-paths "{folder}"']
    return [
        lldb, "--no-lldbinit", "-b", *settings, "-o", "bt all", *([str(of.program)] if of.program else []),
        "-c", str(of.core),
    ]  # fmt: skip


def lldb_program() -> Optional[str]:
    """The lldb that dumpwalk itself uses."""
    from dumpwalk.debugger.discovery import discover

    os.environ.pop("DEBUGINFOD_URLS", None)  # for all the tools that are started from here on
    return discover().lldb_binary


def fifty(of: Case) -> List[Path]:
    """So many names of one core."""
    folder = WORK / "fifty"
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{of.name}-{number:02}.core" for number in range(FIFTY)]
    for path in paths:
        if not path.exists():
            os.link(of.core, path)
    return paths
