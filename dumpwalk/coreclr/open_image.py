"""Opens the image at an address, whichever of the two formats it is of."""

from __future__ import annotations

import mmap
from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.coreclr.image import FileBytes, Image
from dumpwalk.coreclr.image_elf import ElfImage
from dumpwalk.coreclr.image_macho import MachOImage


def open_image(memory: Memory, base: int, file: Optional[str] = None) -> Optional[Image]:
    """The image whose header lies at `base`; `file` is its matched file. None when neither shows a header."""
    content = _map(file) if file else None
    magic = memory.read(base, 4) or (bytes(content[:4]) if content else b"")
    image: Image
    if magic == b"\x7fELF":
        image = ElfImage(memory, base, content)
    elif magic == b"\xcf\xfa\xed\xfe":
        image = MachOImage(memory, base, content)
    else:
        return None
    return image if image.segments else None


def _map(file: str) -> Optional[FileBytes]:
    try:
        with open(file, "rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # gone, unreadable or empty: the dump alone must do
        return None
