"""Which file an lldb session's core was loaded from: told by lldb 19 and later; before, by what lldb has mapped.

lldb maps a core's file as a whole, so on Linux /proc/self/maps of the process (the session's own) names it. A file that
was replaced since has another inode than the mapping and is not the one that was loaded.
"""

from __future__ import annotations

import os
from typing import Any, Iterator, List

_MAPS = "/proc/self/maps"
_ELF_CORE, _MACHO_CORE = 4, 4
"""e_type ET_CORE (elf.h) and filetype MH_CORE (mach-o/loader.h)."""


def core_paths(process: Any) -> List[str]:
    """Files that may be the core of an lldb `SBProcess`; which of them it is, if any, has to be compared."""
    if hasattr(process, "GetCoreFile"):
        spec = process.GetCoreFile()
        return [spec.fullpath] if spec.IsValid() and spec.fullpath else []
    return list(dict.fromkeys(_mapped_cores()))


def _mapped_cores() -> Iterator[str]:
    try:
        with open(_MAPS, encoding="utf-8", errors="surrogateescape") as stream:
            lines = stream.readlines()
    except OSError:
        return  # not Linux
    for line in lines:
        fields = line.rstrip("\n").split(maxsplit=5)
        if len(fields) < 6 or not fields[5].startswith("/"):
            continue
        path = fields[5].replace("\\012", "\n")
        try:
            if os.stat(path).st_ino == int(fields[4]) and _is_core(path):
                yield path
        except (OSError, ValueError):
            continue


def _is_core(path: str) -> bool:
    with open(path, "rb") as stream:
        head = stream.read(18)
    if head[:4] == b"\x7fELF":
        return int.from_bytes(head[16:18], "little") == _ELF_CORE
    return head[:4] == b"\xcf\xfa\xed\xfe" and int.from_bytes(head[12:16], "little") == _MACHO_CORE
