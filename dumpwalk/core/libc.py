"""Which C library a process runs on, by the names of its modules: its locks are laid out by that."""

from __future__ import annotations

import re
from typing import Iterable, Optional

from dumpwalk.core.process import Process

_GLIBC = re.compile(r"libc\.so\.6|libc-2\.\d+\.so|ld-linux.*|ld-2\..*")


def libc_of(process: Process) -> Optional[str]:
    """glibc, musl, apple; None when no module tells (a static program, a dump without a list of modules)."""
    if process.os == "macos":
        return "apple"
    listed = [m.path for m in process.modules]
    if process.corefile is not None:
        listed += [image.path for image in process.corefile.images]
    return libc_by_names(path.rsplit("/", 1)[-1] for path in listed)


def libc_by_names(names: Iterable[str]) -> Optional[str]:
    """The same from file names alone (Linux)."""
    known = list(names)
    if any(name.startswith(("ld-musl-", "libc.musl-")) for name in known):
        return "musl"
    return "glibc" if any(_GLIBC.fullmatch(name) for name in known) else None
