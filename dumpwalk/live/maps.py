"""What is mapped in a live Linux process: /proc/PID/maps (Documentation/filesystems/proc.rst, fs/proc/task_mmu.c)."""

from __future__ import annotations

import re
from typing import List

from dumpwalk import limits
from dumpwalk.dataclass import dataclass

_LINE = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) (...)(.) ([0-9a-f]+) [0-9a-f]+:[0-9a-f]+ ([0-9]+) *(.*)")
_NO_READING = (b"[vvar]", b"[vvar_vclock]", b"[vsyscall]")
"""Pages of the kernel's own, which /proc/PID/mem refuses."""


@dataclass(frozen=True)
class Mapping:
    """One line. `offset` is in bytes of the file; `file` is False for memory that comes from none."""

    start: int
    end: int
    readable: bool
    writable: bool
    executable: bool
    offset: int
    file: bool
    name: str


def parse(data: bytes) -> List[Mapping]:
    """The mappings that can be read at all, in order of address; lines that do not parse are left out."""
    found = []
    for line in data.split(b"\n")[: limits.PROGRAM_HEADERS]:
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        start, end, rights, _, offset, inode, name = match.groups()
        if name in _NO_READING:
            continue
        found.append(
            Mapping(
                int(start, 16),
                int(end, 16),
                rights[0:1] == b"r",
                rights[1:2] == b"w",
                rights[2:3] == b"x",
                int(offset, 16),
                inode != b"0" and name[:1] == b"/",
                name.decode("utf-8", "surrogateescape"),
            )
        )
    return found


def maps_of(pid: int) -> List[Mapping]:
    """Raises OSError."""
    with open(f"/proc/{pid}/maps", "rb") as stream:
        return parse(stream.read())
