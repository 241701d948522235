"""An ELF image as it lies in the dumped process's memory: its program headers, build-id and size.

A kernel core holds no more of a mapped file than its first page, so everything in here may come back as None.
"""

from __future__ import annotations

from itertools import islice
from typing import Iterator, List, Optional

from dumpwalk.core.memory import Memory
from dumpwalk.images import elf
from dumpwalk.images.elf import PT_LOAD, PT_NOTE, ProgramHeader, bias

_MAX_NOTE_SEGMENTS, _MAX_NOTES = 8, 4096
"""A build-id stands in the first few hundred bytes of notes."""


def program_headers(memory: Memory, base: int) -> List[ProgramHeader]:
    """Program headers of the image whose ELF header lies at `base`; empty when they were not captured."""
    return elf.program_headers(lambda offset, size: memory.read(base + offset, size)) or []


def memory_build_id(memory: Memory, base: int) -> Optional[str]:
    """Build-id of the image at `base`, lower-case hex; None when its notes were not captured or hold none."""
    headers = program_headers(memory, base)
    delta = bias(headers, base)
    for header in islice(_of(headers, PT_NOTE), _MAX_NOTE_SEGMENTS):
        data = memory.read((header.address + delta) % (1 << 64), min(header.memory_size, _MAX_NOTES))
        found = elf.build_id(data) if data else None
        if found:
            return found
    return None


def memory_image_end(memory: Memory, base: int) -> Optional[int]:
    """End of the image's last PT_LOAD, rounded up to a 4 KiB page; None when the headers were not captured."""
    headers = program_headers(memory, base)
    delta = bias(headers, base)
    ends = [h.address + h.memory_size + delta for h in _of(headers, PT_LOAD)]
    return (max(ends) + 0xFFF & ~0xFFF) if ends and max(ends) < 1 << 64 else None


def _of(headers: List[ProgramHeader], kind: int) -> Iterator[ProgramHeader]:
    return (header for header in headers if header.kind == kind)
