"""Where a binary or its debug file stands in a symbol store, on a debuginfod server and in a build-id folder.

Sources: the keys of the simple symbol query protocol, dotnet/symstore docs/specs/SSQP_Key_Conventions.md (ELF-buildid,
ELF-buildid-sym, Mach-uuid, Mach-uuid-sym: names and bytes in lower case, a build-id shorter than 20 bytes padded with
zero bytes); debuginfod(8), section WEBAPI; GDB's documentation, "Separate Debug Files", for build-id folders.
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple
from urllib.parse import quote

from dumpwalk.core.corefile import CoreFile, CoreImage
from dumpwalk.dataclass import dataclass

_DELETED = " (deleted)"
_BUILD_ID_CHARACTERS = 40


@dataclass(frozen=True)
class Wanted:
    """One file to be had: a module itself, or the debug file of a module."""

    name: str
    """The module's base name as the process knew it."""
    path: str
    """The path that the process had mapped."""
    format: str
    """elf or mach-o."""
    build_id: str
    """ELF build-id or Mach-O UUID, lower-case hex without dashes."""
    debug: bool
    """The debug file (ELF: .debug, Mach-O: .dwarf) and not the module."""

    @property
    def what(self) -> str:
        return f"debug file of {self.name}" if self.debug else self.name

    @property
    def key(self) -> str:
        """The key in a symbol store, as a path with `/`; its parts are safe as names of folders and files."""
        if self.format == "elf":
            build_id = self.build_id.ljust(_BUILD_ID_CHARACTERS, "0")
            if self.debug:
                return f"_.debug/elf-buildid-sym-{build_id}/_.debug"
            return f"{self._file_name}/elf-buildid-{build_id}/{self._file_name}"
        if self.debug:
            return f"_.dwarf/mach-uuid-sym-{self.build_id}/_.dwarf"
        return f"{self._file_name}/mach-uuid-{self.build_id}/{self._file_name}"

    @property
    def url_path(self) -> str:
        """The key, quoted for a URL."""
        return quote(self.key)

    @property
    def debuginfod_path(self) -> Optional[str]:
        """The path below a debuginfod server; None for Mach-O, which debuginfod does not know."""
        if self.format != "elf":
            return None
        return f"buildid/{self.build_id}/{'debuginfo' if self.debug else 'executable'}"

    @property
    def build_id_path(self) -> Optional[str]:
        """The path below a debug folder such as /usr/lib/debug; None where there is none for this file."""
        if self.format != "elf" or not self.debug or len(self.build_id) < 4:
            return None
        return f".build-id/{self.build_id[:2]}/{self.build_id[2:]}.debug"

    @property
    def _file_name(self) -> str:
        """Lower case; what could be more than the name of one file is replaced, since a hostile core chooses names."""
        name = re.sub(r"[^\w.+@ -]", "_", self.name.lower())[:200]
        return name if name.strip(". ") else "_"


def wanted_files(core: CoreFile, debug: bool = True) -> List[Wanted]:
    """Every file that the core's process had and that has a build-id or UUID, each once: module, then its debug file.

    Images of the kernel ([vdso]) are in no file and left out.
    """
    found: Dict[Tuple[str, bool], Wanted] = {}
    for image in core.images:
        name = _base_name(image)
        if not image.build_id or not name or name.startswith("["):
            continue
        for is_debug in (False, True) if debug else (False,):
            one = Wanted(name, image.path, core.format, image.build_id.lower(), is_debug)
            found.setdefault((one.key, is_debug), one)
    return list(found.values())


def is_dotnet(name: str) -> bool:
    """A file of the .NET runtime or its host, by its name: those are what a report of a .NET hang gains most from."""
    stem = name[3:] if name.startswith("lib") else name
    return name == "dotnet" or stem.startswith(
        ("coreclr", "clrjit", "clrgc", "clrinterpreter", "hostfxr", "hostpolicy", "mscordac", "mscordbi", "System.")
    )


def _base_name(image: CoreImage) -> str:
    path = image.path[: -len(_DELETED)] if image.path.endswith(_DELETED) else image.path
    return path.rsplit("/", 1)[-1]
