"""The runtime's Module: its assembly's path, its metadata (from the dump, else from a matched file), its lookup maps.

Sources: src/coreclr/vm/ceeload.h (Module, LookupMap), peassembly.h, peimage.h, peimagelayout.h. Since 8 an assembly with
precompiled code is mapped twice, flat and by section; dumps hold the metadata of the loaded one.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Protocol, Set, Tuple

from dumpwalk.coreclr.managed_layout import ManagedLayout
from dumpwalk.coreclr.metadata.names import Metadata
from dumpwalk.coreclr.metadata.pe import PeImage
from dumpwalk.coreclr.metadata.schema import FIELD, METHOD_DEF, TYPE_DEF
from dumpwalk.coreclr.words import NotRead, Words

_MODULE_WORDS = 0x800
"""Bytes of a Module searched for what is not where the row says."""
_IMAGE_PLACES = tuple(range(0x30, 0x128, 8))
_ASSEMBLY_PLACES = tuple(range(0x10, 0x300, 8))
_MAPPED = 1
_PATH_BYTES = 8192
_METADATA_BYTES = 1 << 30
POINTER_MASK = ~7
"""Flags that may stand in the low bits of a method table's address in maps and object headers."""


class LoadedImage(NamedTuple):
    """One layout of a PEImage."""

    base: int
    size: int
    mapped: bool
    cli_header: int


class AssemblyFiles(Protocol):
    """Assembly files that the user gave, for metadata that the dump lacks."""

    def metadata(self, module: RuntimeModule) -> Metadata:
        """From a file that is shown to be the module's. Raises NotRead with what was tried."""


class Learned:
    """Offsets that were found by their form, once for all modules of the process."""

    def __init__(self, layout: ManagedLayout) -> None:
        self.assembly = [layout.pe_assembly]
        self.layouts = [layout.loaded_layout, layout.flat_layout]
        self.maps = {TYPE_DEF: layout.type_map, METHOD_DEF: layout.method_map, FIELD: layout.field_map}
        self.checked_maps: Dict[int, bool] = {}
        self.ready_to_run = layout.ready_to_run_info
        self.searched = False
        self.thread_block: Optional[int] = None
        """Offset of a Thread's ThreadLocalBlock (up to 8)."""
        self.notes: List[str] = []


class RuntimeModule:
    """One Module. Everything is read when it is asked for and kept, a failure too. Methods raise NotRead."""

    def __init__(
        self, address: int, words: Words, layout: ManagedLayout, learned: Learned, files: Optional[AssemblyFiles]
    ) -> None:
        self.address = address
        self.words = words
        self._layout = layout
        self._learned = learned
        self._files = files
        self._kept: Dict[str, object] = {}

    def _once(self, key: str, make: object) -> object:
        if key not in self._kept:
            try:
                self._kept[key] = make()  # type: ignore[operator]
            except NotRead as error:
                self._kept[key] = error
        found = self._kept[key]
        if isinstance(found, NotRead):
            raise NotRead(found.why, found.absent)
        return found

    def pe_image(self) -> Optional[int]:
        """Its PEImage; None for a module that Reflection.Emit made."""
        return self._once("image", self._find_image)  # type: ignore[return-value]

    def _find_image(self) -> Optional[int]:
        for offset in self._learned.assembly:
            try:
                assembly = self.words.pointer(self.address + offset, "the module's PEAssembly")
                image = self.words.u64(assembly + 8, "its PEAssembly")
            except NotRead:
                if self._learned.searched:
                    raise
                continue
            if image == 0:
                return None
            if self._images_of(image):
                return image
        if not self._learned.searched:
            self._search()
            return self._find_image()
        raise NotRead(f"module 0x{self.address:x} has no image where modules of this version have one")

    def _search(self) -> None:
        """Find PEAssembly in the Module, and the layouts in the PEImage, by what they must look like."""
        self._learned.searched = True
        for offset in _ASSEMBLY_PLACES:
            try:
                assembly = self.words.pointer(self.address + offset)
                image = self.words.pointer(assembly + 8)
            except NotRead:
                continue
            if assembly % 8 or image % 8:
                continue
            places = [place for place in _IMAGE_PLACES if self._layout_at(image, place) is not None]
            if places and self._path_of(image) is not None:
                self._learned.assembly = [offset]
                self._learned.layouts = list(reversed(places))
                self._learned.notes.append(f"Module's PEAssembly was found by its form, at {offset:#x}")
                return

    def _layout_at(self, image: int, place: int) -> Optional[LoadedImage]:
        words = self.words
        try:
            at = words.pointer(image + place)
            base, size, flags = words.u64(at + 8), words.u32(at + 0x10), words.u32(at + 0x14)
            headers, cli = words.u64(at + 0x18), words.u64(at + 0x20)
        except NotRead:
            return None
        if base % 0x1000 and base % 8 or not 0x200 <= size < 1 << 31 or at % 8:
            return None
        if not base <= cli < base + size or headers and not base <= headers < base + size:
            return None
        return LoadedImage(base, size, bool(flags & _MAPPED), cli)

    def _images_of(self, image: int) -> List[LoadedImage]:
        found = [self._layout_at(image, place) for place in self._learned.layouts]
        return [layout for layout in dict.fromkeys(found) if layout is not None]

    def images(self) -> List[LoadedImage]:
        """The layouts of its image, the loaded one first."""
        image = self.pe_image()
        return [] if image is None else self._images_of(image)

    def _path_of(self, image: int) -> Optional[str]:
        """SString m_path: {u32 bytes, u32, flags, UTF-16*}."""
        try:
            size = self.words.u32(image)
            if not 2 <= size <= _PATH_BYTES:
                return None
            data = self.words.take(self.words.pointer(image + 0x10), size, "the assembly's path")
        except NotRead:
            return None
        text = data[: len(data) & ~1].decode("utf-16-le", "backslashreplace").split("\0")[0]
        return text or None

    @property
    def path(self) -> Optional[str]:
        """Where the process had the assembly's file; None for emitted modules and where it is not in the dump."""
        try:
            image = self.pe_image()
        except NotRead:
            return None
        return self._path_of(image) if image is not None else None

    @property
    def name(self) -> Optional[str]:
        """The file's name; the module's own name where there is no file."""
        path = self.path
        if path:
            return path.replace("\\", "/").rsplit("/", 1)[-1]
        try:
            return self.metadata().module_name() or None
        except NotRead:
            return None

    def metadata(self) -> Metadata:
        """From the loaded image, the flat one, the emitted copy, or a matched file. Raises NotRead."""
        return self._once("metadata", self._find_metadata)  # type: ignore[return-value]

    def _find_metadata(self) -> Metadata:
        if self.pe_image() is None:
            return self._emitted()
        why: List[str] = []
        part: Optional[Metadata] = None
        for image in self.images():
            try:
                pe = PeImage(self.words, image.base, image.size, image.mapped)
                root, size = pe.metadata(image.cli_header)
                found = Metadata(self.words, root, size, "dump")
                if found.tables.whole():
                    return found
                part = part or found
            except NotRead as error:
                why.append(error.why)
        if self._files is not None:
            try:
                return self._files.metadata(self)
            except NotRead:
                if part is None:
                    raise
        if part is not None:
            return part
        raise NotRead(why[0] if why else f"module 0x{self.address:x} has no image")

    def _emitted(self) -> Metadata:
        what = "the metadata of a module made by Reflection.Emit"
        at = self.words.pointer(self.address + self._layout.dynamic_metadata, what)
        if self._layout.dynamic_inline:
            size, root = self.words.u32(at, what), at + 4
        else:
            size, root = _METADATA_BYTES, self.words.pointer(at + 0x10, what)
        return Metadata(self.words, root, min(size, _METADATA_BYTES), "dump")

    def lookup(self, table: int, rid: int) -> int:
        """The entry of a row in one of its maps (TypeDef, MethodDef or Field to its descriptor), 0 where there is none."""
        for start, count in self._map(table):
            if rid < count:
                return self.words.u64(start + 8 * rid, "the module's lookup map") & POINTER_MASK
            rid -= count
        raise NotRead(f"the module's map has no entry {rid}")

    def map_length(self, table: int) -> int:
        """Entries of a map's first block, at the place where this version has it: one more than the table's rows."""
        count = self._first_count(self._learned.maps[table])
        if count is None:
            raise NotRead(f"the module's map for metadata table {table:#x} is not in the dump")
        return count

    def _map(self, table: int) -> List[Tuple[int, int]]:
        return self._once(f"map {table}", lambda: self._find_map(table))  # type: ignore[return-value]

    def _find_map(self, table: int) -> List[Tuple[int, int]]:
        offset = self._learned.maps[table]
        if table not in self._learned.checked_maps:
            try:
                rows: Optional[int] = self.metadata().tables.count(table)
            except NotRead:
                rows = None
            if rows is not None:
                offset = self._place_of_map(table, offset, rows)
        return self._blocks(offset)

    def _place_of_map(self, table: int, offset: int, rows: int) -> int:
        """The place of the map whose first block is as long as the table; the row's place where it is so."""
        if self._first_count(offset) == rows + 1:
            self._learned.checked_maps[table] = True
            return offset
        places = [place for place in range(0, _MODULE_WORDS, 8) if self._first_count(place) == rows + 1]
        if len(places) != 1 or rows < 64:
            raise NotRead(f"the module's map for metadata table {table:#x} is not where this version's is")
        self._learned.maps[table] = places[0]
        self._learned.checked_maps[table] = True
        self._learned.notes.append(f"the lookup map of table {table:#x} was found by its length, at {places[0]:#x}")
        return places[0]

    def _first_count(self, offset: int) -> Optional[int]:
        try:
            start = self.words.u64(self.address + offset + 8)
            if start % 8 or not self.words.holds(start, 8):
                return None
            return self.words.u32(self.address + offset + 0x10)
        except NotRead:
            return None

    def _blocks(self, offset: int) -> List[Tuple[int, int]]:
        """(address, entries) of the map's blocks; more than one after edit-and-continue or Reflection.Emit."""
        blocks: List[Tuple[int, int]] = []
        at = self.address + offset
        seen: Set[int] = set()
        while at and at not in seen and len(seen) < 256:
            seen.add(at)
            following = self.words.u64(at, "the module's lookup map")
            start, count = self.words.u64(at + 8), self.words.u32(at + 0x10)
            if count > 1 << 24:
                raise NotRead(f"the lookup map at 0x{at:x} is damaged")
            blocks.append((start, count))
            at = following
        return blocks
