"""Unwind data of Mach-O images as a whole: a debugger that makes a module out of the dump's memory reads all of it.

Source: mach-o/loader.h (segment_command_64, section_64). Of ELF images the entries of the frames are enough: debuggers take
those images from files, dumpwalk looks entries up one by one.
"""

from __future__ import annotations

import struct
from typing import Iterator, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory
from dumpwalk.core.process import Process
from dumpwalk.core.recording import Recording
from dumpwalk.images import macho

_SECTIONS = (b"__unwind_info", b"__eh_frame")
_COMMAND, _SECTION = 72, 80


def keep_unwind_sections(process: Process, recording: Recording) -> None:
    """Of the images that some frame is in."""
    bases = {f.module.base for t in process.threads for f in t.frames() if f.module is not None}
    for base in sorted(b for b in bases if b is not None):
        for start, size in _sections(process.memory, base):
            recording.keep(start, min(size, limits.EVIDENCE_UNWIND_BYTES))


def _sections(memory: Memory, base: int) -> Iterator[Tuple[int, int]]:
    """(load address, bytes) of the sections."""
    found = macho.header(lambda offset, size: memory.read(base + offset, size))
    if found is None:
        return
    text = next((s.address for s in macho.segments(found) if s.name == macho.TEXT), None)
    for kind, body in found.commands if text is not None else ():
        if kind != macho.LC_SEGMENT_64:
            continue
        for at in range(_COMMAND, len(body) - _SECTION + 1, _SECTION):
            if body[at : at + 16].rstrip(b"\0") in _SECTIONS:
                address, size = struct.unpack_from("<QQ", body, at + 32)
                start = address - text + base  # type: ignore[operator]
                if 0 < start < 1 << 63 and 0 < size < 1 << 32:
                    yield start, size
