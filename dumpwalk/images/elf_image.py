"""An ELF module file on this machine: its build-id, whether it has code in it, and its read-only segments.

Program headers and notes are read with struct, since every file of a module folder may have to be asked for its
build-id; sections, needed for the rare file without note segments and for telling debug files, with pyelftools.
Symbols of an image are the business of coreclr/image_elf.py.
"""

from __future__ import annotations

import struct
from typing import IO, FrozenSet, List, NamedTuple, Optional

from dumpwalk.images import elf
from dumpwalk.images.elf import PT_LOAD, PT_NOTE, ProgramHeader, bias
from dumpwalk.images.image_memory import FileRange, open_regular

_MAX_NOTE = 1 << 16
_TYPES = {0: "file of no type", 1: "object file", 2: "executable", 3: "shared object", 4: "core"}


class ElfIdentity(NamedTuple):
    build_id: Optional[str]
    """Lower-case hex."""
    has_code: bool
    """False for a debug file, which carries the same build-id."""


def identify(stream: IO[bytes], size: int) -> Optional[ElfIdentity]:
    """What an ELF file (or its first `size` bytes) says of itself; None when it is no 64-bit little-endian ELF."""
    headers = _program_headers(stream)
    if headers is None:
        return None
    build_id = None
    for header in headers:
        if header.kind == PT_NOTE and header.offset < size:
            stream.seek(header.offset)
            build_id = build_id or elf.build_id(stream.read(min(header.file_size, _MAX_NOTE)))
    code = [h for h in headers if h.kind == PT_LOAD and h.flags & 1 and h.file_size]
    if not code and not any(h.kind == PT_LOAD for h in headers):
        build_id = build_id or _section_build_id(stream)
    return ElfIdentity(build_id, bool(code))


def is_debug_file(file: str) -> bool:
    """Its .text has no bytes (objcopy --only-keep-debug). Raises OSError."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    with open_regular(file) as stream:
        try:
            text = ELFFile(stream).get_section_by_name(".text")
        except (ELFError, ValueError, struct.error, IndexError, UnicodeDecodeError):
            return False
        return text is not None and text["sh_type"] == "SHT_NOBITS"


def read_only_ranges(file: str, base: int) -> List[FileRange]:
    """Segments without write permission at their load addresses for an image at `base`. Raises OSError."""
    with open_regular(file) as stream:
        headers = _program_headers(stream) or []
    loads = [h for h in headers if h.kind == PT_LOAD]
    if not loads:
        return []
    delta = bias(loads, base)
    return [
        FileRange(h.address + delta, h.offset, min(h.file_size, h.memory_size), bool(h.flags & 1))
        for h in loads
        if not h.flags & 2 and 0 <= h.address + delta < 1 << 64
    ]


def loaded_end(file: str, base: int) -> Optional[int]:
    """One past the last byte of an image at `base`, what is zero-filled behind the file's bytes included; None where the file is
    no ELF image. Raises OSError."""
    with open_regular(file) as stream:
        headers = _program_headers(stream) or []
    delta = bias(headers, base)
    return max((h.address + h.memory_size + delta for h in headers if h.kind == PT_LOAD), default=None)


def sizeless_functions(file: str) -> FrozenSet[str]:
    """Names of dynamic symbols for code that have no size; empty where the file has a full symbol table or is no ELF."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with open(file, "rb") as stream:
            image = ELFFile(stream)
            table = image.get_section_by_name(".dynsym")
            if table is None or image.get_section_by_name(".symtab") is not None:
                return frozenset()
            return frozenset(
                s.name
                for s in table.iter_symbols()
                if s["st_size"] == 0 and s["st_info"]["type"] == "STT_FUNC" and s["st_value"]
            )
    except (OSError, ELFError, ValueError):
        return frozenset()


def comments(file: str) -> bytes:
    """What the compilers wrote into the file (.comment); empty where it has no such section or is no ELF."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with open_regular(file) as stream:
            section = ELFFile(stream).get_section_by_name(".comment")
            return bytes(section.data()[:_MAX_NOTE]) if section is not None else b""
    except (OSError, ELFError, ValueError, struct.error, IndexError, UnicodeDecodeError):
        return b""


def describe(file: str, head: bytes) -> str:
    """`an ELF executable (Advanced Micro Devices X86-64)` for a sentence about a file that is not a core."""
    kind, machine = struct.unpack_from("<HH", head, 16) if len(head) >= 20 else (0, 0)
    name = _TYPES.get(kind, "file of an unknown type")
    from elftools.common.exceptions import ELFError
    from elftools.elf.descriptions import describe_e_machine
    from elftools.elf.elffile import ELFFile

    try:
        with open_regular(file) as stream:
            elf = ELFFile(stream)
            machine_name = str(describe_e_machine(elf["e_machine"]))
            if kind == 3 and any(s["p_type"] == "PT_INTERP" for s in elf.iter_segments()):
                dynamic = next(elf.iter_segments("PT_DYNAMIC"), None)  # libc.so.6 has an interpreter and a soname
                if dynamic is None or not any(dynamic.iter_tags("DT_SONAME")):
                    name = "executable"
    except (ELFError, OSError, ValueError, struct.error, IndexError, KeyError, UnicodeDecodeError):
        machine_name = f"machine {machine}"
    article = "an ELF"
    return f"{article} {name} ({machine_name})" if "<" not in machine_name else f"{article} {name}"


def _program_headers(stream: IO[bytes]) -> Optional[List[ProgramHeader]]:
    def read(offset: int, size: int) -> bytes:
        stream.seek(offset)
        return stream.read(size)

    return elf.program_headers(read)


def _section_build_id(stream: IO[bytes]) -> Optional[str]:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        section = ELFFile(stream).get_section_by_name(".note.gnu.build-id")
        return elf.build_id(section.data()[:_MAX_NOTE]) if section is not None else None
    except (ELFError, ValueError, struct.error, IndexError, UnicodeDecodeError, OSError):
        return None
