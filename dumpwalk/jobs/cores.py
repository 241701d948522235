"""Which files below some folders are cores: by their first bytes, or since they are called as dumps are."""

from __future__ import annotations

import os
import stat
import struct
from typing import Iterator, Sequence

from dumpwalk.core.dump_names import is_dump

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")
_ET_CORE = 4
_MH_CORE = 4


def below(paths: Sequence[str]) -> Iterator[str]:
    """Each path that is no folder, whatever it is, and below those that are every core, compressed file, and what a dump's name
    says is one (an empty `core.123` of a full disk is to be told, not passed over): sorted, each once, links to folders not
    followed. Folders that cannot be read give nothing but themselves."""
    seen = set()
    for path in paths:
        if not os.path.isdir(path):
            found: Iterator[str] = iter((path,))
        elif not os.access(path, os.R_OK | os.X_OK):
            found = iter((path,))
        else:
            found = _below(path)
        for one in found:
            real = os.path.realpath(one)
            if real not in seen:
                seen.add(real)
                yield one


def _below(folder: str) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(here, name)
            if may_be_core(path) or is_dump(name) and os.path.isfile(path):
                yield path


def may_be_core(path: str) -> bool:
    """An ELF or Mach-O core by its header, or compressed data, which is opened later."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as stream:
            head = stream.read(20)
    except OSError:
        return False
    if head.startswith(_COMPRESSED):
        return True
    if len(head) < 20:
        return False
    if head.startswith(b"\x7fELF"):
        return bool(struct.unpack_from(">H" if head[5] == 2 else "<H", head, 16)[0] == _ET_CORE)
    return head.startswith(b"\xcf\xfa\xed\xfe") and bool(struct.unpack_from("<I", head, 12)[0] == _MH_CORE)
