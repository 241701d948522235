"""Is what arrived the file that was asked for: magic, build-id or UUID, code or debug data. Nothing else is ever used."""

from __future__ import annotations

from typing import Optional

from dumpwalk.binaries.index import identity_of
from dumpwalk.binaries.keys import Wanted
from dumpwalk.images.elf_image import is_debug_file
from dumpwalk.images.image_memory import open_regular

_MAGIC = {
    "elf": (b"\x7fELF",),
    "mach-o": (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"),
}


def why_not(wanted: Wanted, file: str) -> Optional[str]:
    """None when `file` is the wanted one; else the reason, to be read after "the file is thrown away: "."""
    try:
        with open_regular(file) as stream:
            head = stream.read(16)
    except (OSError, ValueError) as error:
        return f"it cannot be read ({error})"
    if not head:
        return "it is empty"
    if not head.startswith(_MAGIC[wanted.format]):
        kind = "an ELF" if wanted.format == "elf" else "a Mach-O"
        return f"it is not {kind} file{_looks_like(head)}"
    identity = identity_of(file)
    if identity is None:
        return "its headers are damaged"
    id_word = "build-id" if wanted.format == "elf" else "UUID"
    if wanted.build_id not in identity.build_ids:
        have = identity.build_ids[0] if identity.build_ids else "none"
        return f"its {id_word} is {have}, not {wanted.build_id}"
    if not wanted.debug and (not identity.has_code or wanted.format == "elf" and is_debug_file(file)):
        return "it is a debug file without code"
    return None


def _looks_like(head: bytes) -> str:
    if head.lstrip()[:1] in (b"<", b"{"):
        return " but a page of text"
    if head.startswith(b"MSCF"):
        return " but a cabinet archive, which dumpwalk does not unpack"
    return ""
