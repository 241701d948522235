"""Finds the process's own binaries on this machine, by the build-id that the core holds, and never uses another build.

Order: what the user named (-m), the core's folder, the recorded path; within -m first files of the same name, then any
file with the same build-id. An image whose build-id the core does not hold is compared by its first captured page.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Type

from dumpwalk.binaries.index import Identity, ModuleIndex, identity_of
from dumpwalk.core.corefile import CoreFile, CoreImage
from dumpwalk.core.memory import FileMemory
from dumpwalk.core.vocabulary import MatchStatus
from dumpwalk.errors import DumpwalkError
from dumpwalk.images import elf_image, macho_image
from dumpwalk.images.image_memory import ImageMemory, open_regular

_PAGE = 4096
_DELETED = " (deleted)"


class Match(NamedTuple):
    file: Optional[str]
    """The file to use; set for `matched` only."""
    match: MatchStatus
    """matched, mismatched (only files of other builds), missing (no file), unverified (nothing to compare by)."""
    build_id: Optional[str]
    """The image's, lower-case hex."""
    debug: Optional[str] = None
    """A debug file of the same build among the files that the user named (-m) or fetched."""
    other: Optional[str] = None
    """For a mismatched one: the first file of another build that was found, and not used."""


class ModuleSearch:
    """A context manager: unpacked archive members are gone at its end. A path that cannot be read is told in `notes`."""

    def __init__(
        self,
        core: CoreFile,
        paths: Sequence[str],
        temp_dir: Optional[Callable[[], str]] = None,
        seconds: Optional[float] = None,
    ) -> None:
        self._core = core
        self._temp_dir = temp_dir
        self._unpacked: Optional[str] = None
        self._memory: Optional[FileMemory] = None
        self._identities: Dict[str, Optional[Identity]] = {}
        names = {_base(image.path) for image in core.images}
        ids: Set[str] = {image.build_id for image in core.images if image.build_id}
        self._index = ModuleIndex(names, ids, self._folder, seconds)
        try:
            for path in paths:
                try:
                    self._index.add(path)
                except DumpwalkError as error:  # what was asked for is the core: names may lack, the rest does not
                    self._index.notes.append(str(error).rstrip("."))
        except BaseException:
            self.close()
            raise
        folder = os.path.dirname(os.path.abspath(core.path))
        self._beside = self._index.beside(folder)

    def __enter__(self) -> ModuleSearch:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: object, trace: object) -> None:
        self.close()

    def close(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self._unpacked is not None:
            shutil.rmtree(self._unpacked, ignore_errors=True)
            self._unpacked = None

    @property
    def notes(self) -> Sequence[str]:
        """Sentences on limits that were hit and archives that could not be read."""
        return tuple(self._index.notes)

    def find(self, image: CoreImage) -> Match:
        """What was found for one image. Raises nothing."""
        if not image.path.startswith("/") and image.path.startswith("["):
            return Match(None, "unverified", image.build_id)  # [vdso]: the kernel's, in no file
        return self._module(image)._replace(debug=self._debug_file(image))

    def _module(self, image: CoreImage) -> Match:
        unverified = False
        other: Optional[str] = None
        for path in self._candidates(image):
            verdict = self._compare(image, path)
            if verdict == "matched":
                return Match(path, "matched", image.build_id)
            if verdict == "mismatched" and other is None:
                other = path
            unverified = unverified or verdict == "unverified"
        if unverified:
            return Match(None, "unverified", image.build_id)
        return Match(None, "mismatched" if other is not None else "missing", image.build_id, other=other)

    def named(self, path: str) -> List[str]:
        """Files that may be the one the process had at `path`, by name alone: for formats that are matched elsewhere."""
        return self._candidates(CoreImage(path, 0))

    def memory(self, image: CoreImage, match: Match) -> Optional[ImageMemory]:
        """The matched file's read-only bytes at the image's address; None when there is no matched file."""
        if match.file is None or match.match != "matched":
            return None
        try:
            if self._core.format == "elf":
                ranges = elf_image.read_only_ranges(match.file, image.base)
            else:
                ranges = macho_image.read_only_ranges(match.file, image.base, image.build_id)
        except (OSError, ValueError):
            return None
        return ImageMemory(match.file, ranges) if ranges else None

    def _candidates(self, image: CoreImage) -> List[str]:
        name = _base(image.path)
        paths = list(self._index.by_name.get(name, []))
        if image.build_id:
            known = set(paths)
            if not any(self._has_id(path, image.build_id) for path in paths):
                paths += [p for p in self._index.with_id(image.build_id) if p not in known]
        if name in self._beside:
            paths.append(self._beside[name])
        if image.path.startswith("/"):
            paths.append(image.path[: -len(_DELETED)] if image.path.endswith(_DELETED) else image.path)
        return paths

    def _debug_file(self, image: CoreImage) -> Optional[str]:
        """By the names that debug files have: the module's with an ending, a build-id folder's, a symbol store's."""
        if not image.build_id:
            return None
        name = _base(image.path)
        names = [name + ending for ending in (".debug", ".dbg", ".dwarf")]
        names += [image.build_id[2:] + ".debug", "_.debug", "_.dwarf"]
        for path in (p for n in names for p in self._index.by_name.get(n, [])):
            if self._has_id(path, image.build_id):
                return path
        return None

    def _identity(self, path: str) -> Optional[Identity]:
        if path not in self._identities:
            self._identities[path] = identity_of(path)
        return self._identities[path]

    def _has_id(self, path: str, build_id: str) -> bool:
        identity = self._identity(path)
        return identity is not None and build_id in identity.build_ids

    def _compare(self, image: CoreImage, path: str) -> Optional[str]:
        """matched, mismatched, unverified, or None when there is no such file or it is no image."""
        identity = self._identity(path)
        if identity is not None and not identity.has_code:
            return None  # a debug file: lldb finds it by itself
        if image.build_id:
            if identity is None:
                return None
            if image.build_id not in identity.build_ids:
                return "mismatched"
            return None if self._core.format == "elf" and _named_debug(path) else "matched"
        return self._compare_first_page(image, path, identity)

    def _compare_first_page(self, image: CoreImage, path: str, identity: Optional[Identity]) -> Optional[str]:
        """For images without a build-id in the dump: ELF header, program headers and what follows in the first page.

        Two builds of one file differ there in segment sizes, hash tables or section offsets. A PE file whose page
        differs may have been relocated, so that says nothing.
        """
        try:
            with open_regular(path) as stream:
                held = stream.read(_PAGE)
        except (OSError, ValueError):
            return None
        if self._memory is None:
            self._memory = FileMemory(self._core.file, self._core.segments)
        captured = self._memory.read(image.base, len(held)) if len(held) >= 1024 else None
        if captured is None:
            return "unverified"
        if captured == held and any(held[64:]):
            return "matched"
        return "mismatched" if identity is not None else "unverified"

    def _folder(self) -> str:
        if self._unpacked is None:
            place = self._temp_dir() if self._temp_dir is not None else None
            self._unpacked = tempfile.mkdtemp(prefix="dumpwalk-modules-", dir=place)
        return self._unpacked


def fetch_command(path: str, build_id: Optional[str], os_name: str, core_path: str) -> Optional[str]:
    """The command that fetches a missing module, None where no public server has it or its build-id is not known.

    .NET's own files: dumpwalk's own --fetch, with the symbol server's key of the file behind it (dotnet/symstore
    docs/specs/SSQP_Key_Conventions.md). Libraries of a Linux distribution: debuginfod-find. Apple's: nobody has them.
    """
    if not build_id:
        return None
    name = _base(path)
    if _is_dotnet(name):
        kind = "elf-buildid" if os_name == "linux" else "mach-uuid"
        lower = name.lower()
        key = f"{lower}/{kind}-{build_id.lower()}/{lower}"
        return f"dumpwalk analyze {shlex.quote(core_path)} --fetch  # {key}"
    if os_name == "linux" and ".so" in name:
        return f"debuginfod-find executable {build_id}"
    return None


def _is_dotnet(name: str) -> bool:
    stem = name[3:] if name.startswith("lib") else name
    return name == "dotnet" or stem.startswith(
        ("coreclr", "clrjit", "clrgc", "clrinterpreter", "hostfxr", "hostpolicy", "mscordac", "mscordbi", "System.")
    )


def _named_debug(path: str) -> bool:
    if not path.endswith((".dbg", ".debug")):
        return False
    try:
        return elf_image.is_debug_file(path)
    except OSError:
        return True


def _base(path: str) -> str:
    name = path[: -len(_DELETED)] if path.endswith(_DELETED) else path
    return name.rsplit("/", 1)[-1]
