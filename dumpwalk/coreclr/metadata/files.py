"""Metadata from assembly files, for dumps that lack it (3.1's heap dumps, gcore, the kernel's): only from a file that is
shown to be the one the process had.

Shown by what the dump still holds: the COFF time stamp where the image's first page is captured, the size of the image,
and the lengths of the module's lookup maps, which are those of the file's metadata tables.

The assemblies of a single-file program are parts of its executable, mapped where the kernel's list says; that file is known by
its build-id.
"""

from __future__ import annotations

import os
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from dumpwalk.core.process import Process
from dumpwalk.coreclr.metadata.modules import LoadedImage, RuntimeModule
from dumpwalk.coreclr.metadata.names import Metadata
from dumpwalk.coreclr.metadata.pe import PeImage
from dumpwalk.coreclr.metadata.schema import FIELD, METHOD_DEF, TYPE_DEF
from dumpwalk.coreclr.words import NotRead, Words
from dumpwalk.images.image_memory import FileRange, ImageMemory

_BASE = 0x10000
"""Where the file's bytes stand in the address space of its reader."""
_LARGEST = 1 << 31
_CANDIDATES = 32


class NamedFiles:
    """Looks for assemblies among the files that `named` gives for a path of the process; none is believed by its name. `mapped`
    tells in which file the bytes of an address are, and where."""

    def __init__(
        self,
        named: Callable[[str], Sequence[str]],
        mapped: Callable[[int], Optional[Tuple[str, int]]] = lambda address: None,
    ) -> None:
        self._named = named
        self._mapped = mapped
        self._opened: Dict[str, Optional[PeImage]] = {}
        self.used: List[str] = []
        """Files that metadata was taken from."""

    def metadata(self, module: RuntimeModule) -> Metadata:
        inside = self._in_executable(module)
        if inside is not None:
            return inside
        path = module.path
        if path is None:
            raise NotRead("neither an assembly's metadata nor its path is in the dump")
        name = path.rsplit("/", 1)[-1]
        other = ""
        for file in list(self._named(path))[:_CANDIDATES]:
            pe = self._open(file)
            if pe is None:
                continue
            try:
                root, size = pe.metadata()
                found = Metadata(pe.words, root, size, file)
                why = _difference(module, pe, found)
            except NotRead as error:
                why = error.why
            if not why:
                self.used.append(file)
                return found
            other = other or f"; a file of that name was not used: {why}"
        raise NotRead(f"the metadata of {name} is not in the dump, and no file of the same build was given{other}")

    def _in_executable(self, module: RuntimeModule) -> Optional[Metadata]:
        """From the part of a single-file program that was mapped where the module's image lies."""
        for image in module.images():
            place = self._mapped(image.base) if not image.mapped else None
            if place is None:
                continue
            file, offset = place
            memory = ImageMemory(file, [FileRange(_BASE, offset, image.size, False)])
            pe = PeImage(Words(memory, "assembly in the executable"), _BASE, image.size, mapped=False)
            try:
                root, size = pe.metadata()
                found = Metadata(pe.words, root, size, file)
                if not _difference(module, pe, found, known=True):
                    self.used.append(file)
                    return found
            except NotRead:
                continue
        return None

    def _open(self, file: str) -> Optional[PeImage]:
        if file not in self._opened:
            self._opened[file] = _open(file)
        return self._opened[file]


def file_part(process: Process, address: int) -> Optional[Tuple[str, int]]:
    """(file, offset) of an address in a mapped part of an executable whose file is at hand and has the process's build-id."""
    core = process.corefile
    part = next((p for p in core.mapped if p.start <= address < p.end), None) if core is not None else None
    if part is None:
        return None
    module = next((m for m in process.modules if m.path == part.path and m.file and m.match == "matched"), None)
    return (module.file, part.offset + address - part.start) if module is not None and module.file else None


def _open(file: str) -> Optional[PeImage]:
    try:
        size = os.stat(file).st_size
    except (OSError, ValueError):
        return None
    if not 0x200 <= size < _LARGEST:
        return None
    memory = ImageMemory(file, [FileRange(_BASE, 0, size, False)])
    pe = PeImage(Words(memory, "assembly's file"), _BASE, size, mapped=False)
    try:
        pe.cli_header()
    except NotRead:
        return None
    return pe


def _difference(module: RuntimeModule, pe: PeImage, metadata: Metadata, known: bool = False) -> str:
    """Why the file is not shown to be the module's; empty when it is. `known`: something else shows it."""
    stamps = 0
    images = module.images()
    for image in images:
        stamp = _stamp_in_dump(module, image)
        if stamp is not None and stamp != pe.time_stamp():
            return "its time stamp is another"
        stamps += stamp is not None
        if not image.mapped and image.size != pe.size:
            return "its size is another"
        if image.mapped and abs(image.size - pe.image_size()) >= 0x10000:
            return "the size of its image is another"
    lengths = 0
    for table in (TYPE_DEF, METHOD_DEF, FIELD):
        try:
            held = module.map_length(table)
        except NotRead:
            continue
        if held != metadata.tables.count(table) + 1:
            return "it defines another number of types, methods or fields"
        lengths += 1
    if not known and (not images or not stamps and lengths < 2):
        return "nothing in the dump shows that it is the same build"
    return ""


def _stamp_in_dump(module: RuntimeModule, image: LoadedImage) -> Optional[int]:
    try:
        return PeImage(module.words, image.base, image.size, image.mapped).time_stamp()
    except NotRead:
        return None
