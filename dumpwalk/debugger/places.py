"""Where an lldb may be on this machine, and whether its Python module fits an interpreter, told from file names alone.

Nothing in here runs a program or imports lldb, so that the usual case (lldb of this very Python's version) costs a few
file look-ups. What file names cannot tell, interpreter.py asks the lldb program itself.
"""

from __future__ import annotations

import os
import sys
from dataclasses import field
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from dumpwalk.dataclass import dataclass

NEWEST, OLDEST = 40, 14
"""Versioned programs looked for. 14 is Debian 12's default and the oldest that was measured."""

GOOD_ENOUGH = 19
"""From this version on all of it works (Python 3.12 and later, for one); older ones come second."""


def copies_folder(environ: Optional[Mapping[str, str]] = None) -> str:
    """Where scripts/unpack-lldb puts lldbs of dumpwalk's own, as llvm-NN/bin/lldb."""
    environ = os.environ if environ is None else environ
    cache = environ.get("DUMPWALK_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "dumpwalk")
    return os.path.join(cache, "lldb")


@dataclass(frozen=True)
class Places:
    """The usual places, as a value so that a test can point it at an empty folder."""

    llvm_parents: Tuple[str, ...] = ("/usr/lib", "/usr/local", "/opt")
    """Folders holding llvm-NN/bin/lldb: Debian and the packages of apt.llvm.org use the first."""
    llvm_homes: Tuple[str, ...] = (
        "/opt/homebrew/opt/llvm",
        "/usr/local/opt/llvm",
        "/Library/Developer/CommandLineTools/usr",
        "/Applications/Xcode.app/Contents/Developer/usr",
    )
    """Installation prefixes tried as they are: Homebrew on both kinds of Mac, Apple's command line tools, Xcode."""
    copies: Tuple[str, ...] = field(default_factory=lambda: (copies_folder(),))
    """Folders like those of llvm_parents that dumpwalk's set-up fills; what the machine has comes before them."""
    library_dirs: Tuple[str, ...] = (
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    )
    """Where liblldb-NN.so.1 of a distribution may be."""
    ask_xcrun: bool = field(default_factory=lambda: sys.platform == "darwin")
    use_sys_path: bool = True
    """Whether an `lldb` already on this interpreter's path counts."""


@dataclass(frozen=True)
class Candidate:
    """An lldb program. `major` is None where no name tells it."""

    binary: str
    major: Optional[int]
    how: str
    """Where it was found, for the person who reads `dumpwalk doctor`."""


@dataclass(frozen=True)
class Fit:
    """A folder to put on the path, and the library to load by hand where the module's own link to it dangles."""

    pythonpath: str
    library: Optional[str]


def major_of(path: str) -> Optional[int]:
    """The version an lldb's resolved path tells: /usr/lib/llvm-22/bin/lldb, lldb-22, Cellar/llvm/19.1.7."""
    for part in reversed(path.split(os.sep)):
        for prefix in ("llvm-", "lldb-", "llvm@"):
            if part.startswith(prefix) and part[len(prefix) :].split(".")[0].isdigit():
                return int(part[len(prefix) :].split(".")[0])
    parts = path.split(os.sep)
    if "Cellar" in parts[:-2]:
        version = parts[parts.index("Cellar") + 2].split(".")[0]
        return int(version) if version.isdigit() else None
    return None


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def on_path(name: str, environ: Mapping[str, str]) -> Optional[str]:
    """The first program of that name on PATH, or None; `name` may be a path itself."""
    if os.sep in name:
        return name if _is_program(name) else None
    for folder in environ.get("PATH", "").split(os.pathsep):
        if folder and _is_program(os.path.join(folder, name)):
            return os.path.join(folder, name)
    return None


def candidates(environ: Mapping[str, str], places: Places) -> Iterator[Candidate]:
    """Every lldb program: DUMPWALK_LLDB alone where that is set, else PATH, then versioned names newest first."""
    wanted = environ.get("DUMPWALK_LLDB")
    if wanted:
        found = on_path(wanted, environ)
        if found:
            yield Candidate(found, major_of(os.path.realpath(found)), "DUMPWALK_LLDB")
        return
    seen: List[str] = []

    def fresh(binary: Optional[str], how: str) -> Iterator[Candidate]:
        if binary:
            real = os.path.realpath(binary)
            if real not in seen and _is_program(real):
                seen.append(real)
                yield Candidate(binary, major_of(real), how)

    yield from fresh(on_path("lldb", environ), "PATH")
    installed = _versioned(places.llvm_parents)
    for number in range(max([NEWEST, *installed]), OLDEST - 1, -1):
        yield from fresh(on_path(f"lldb-{number}", environ), "PATH")
        yield from fresh(installed.get(number), "usual place")
    for home in places.llvm_homes:
        yield from fresh(os.path.join(home, "bin", "lldb"), "usual place")
    for _, copy in sorted(_versioned(places.copies).items(), reverse=True):
        yield from fresh(copy, "dumpwalk's own copy")


def _versioned(parents: Sequence[str]) -> Dict[int, str]:
    """llvm-NN/bin/lldb of each version, from the first of the folders that has it."""
    found: Dict[int, str] = {}
    for parent in parents:
        try:
            names = os.listdir(parent)
        except OSError:
            continue
        for name in names:
            if name.startswith("llvm-") and name[5:].isdigit():
                found.setdefault(int(name[5:]), os.path.join(parent, name, "bin", "lldb"))
    return found


def best_first(found: Sequence[Candidate]) -> List[Candidate]:
    """The same order, with versions known to lack something moved behind the others."""
    return sorted(found, key=lambda c: c.major is not None and c.major < GOOD_ENOUGH)


def module_dirs(binary: str) -> Iterator[str]:
    """Folders that may hold an lldb program's `lldb` package, by the layouts of Debian, LLVM, Homebrew and Apple."""
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(binary)))
    minor = "python{}.{}".format(*sys.version_info[:2])
    for lib in ("lib", "lib64", os.path.join("libexec", "lib"), "libexec"):
        for python in (minor, "python3"):
            for packages in ("site-packages", "dist-packages"):
                yield os.path.join(prefix, lib, python, packages)
    framework = os.path.join("LLDB.framework", "Resources", "Python")
    yield os.path.join(prefix, "..", "Library", "PrivateFrameworks", framework)
    yield os.path.join(prefix, "..", "..", "SharedFrameworks", framework)


def _extension_names(package: str) -> Iterator[Tuple[str, str]]:
    from importlib.machinery import EXTENSION_SUFFIXES  # this interpreter's own: .cpython-311-x86_64-linux-gnu.so, ...

    for suffix in EXTENSION_SUFFIXES:
        for folder in (package, os.path.join(package, "native")):
            yield os.path.join(folder, "_lldb" + suffix), suffix


def fits(directory: str, major: Optional[int], places: Places) -> Optional[Fit]:
    """Whether this interpreter can load the `lldb` package in `directory`, judged by the extension module's name.

    The suffix names the Python it was built for. Debian's runtime packages of lldb 14 to 19 ship that name as a link
    into the development package; where it dangles the library itself is the module (its PyInit__lldb is exported).
    A suffix without a version (`_lldb.so`) proves nothing and is left to the probe in a process of its own.
    """
    package = os.path.join(directory, "lldb")
    if not os.path.isfile(os.path.join(package, "__init__.py")):
        return None
    if major is not None and major < GOOD_ENOUGH and sys.version_info >= (3, 12):
        return None  # aborts in PyImport_AppendInittab: llvm-project issue 70453, fixed in 19 by PR 82095
    if "LLDB.framework" in directory and "Python3.framework" not in sys.base_prefix:
        return None  # linked against Apple's own Python; another build of the same version would be a second one
    for path, suffix in _extension_names(package):
        if suffix == ".so" or not os.path.lexists(path):
            continue
        if os.path.exists(path):
            return Fit(directory, None)
        library = library_of(directory, major, places)
        if library:
            return Fit(directory, library)
    return None


def library_of(directory: str, major: Optional[int], places: Places) -> Optional[str]:
    """liblldb of the installation that `directory` belongs to, to be loaded as the extension module; None if absent."""
    folders = []
    lib = os.path.realpath(directory)
    while lib != os.path.dirname(lib):
        lib = os.path.dirname(lib)
        if os.path.basename(lib) in ("lib", "lib64"):
            folders.append(lib)
            break
    names = [f"liblldb-{major}.so.1", f"liblldb.so.{major}"] if major is not None else []
    for folder in [*folders, *places.library_dirs]:
        for name in [*names, "liblldb.so.1"] if folder in folders else names:
            path = os.path.join(folder, name)
            if os.path.exists(path):
                return path
    return None
