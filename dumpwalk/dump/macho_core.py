"""Reads a Mach-O core: load commands, threads, memory map, thread ids, images.

What makes lldb crash or hang is refused here: an unknown cputype (lldb 14 to 22 die), absurd counts or sizes, and
segments that claim more than a gigabyte beyond their bytes (lldb tests every page for an image header).
struct and not macholib: macholib takes 13 us a command (0.13 s for 10,000 threads) and raises whatever comes on damaged
ones; it reads the module files in macho_image.py, and tests/test_preflight_macho.py compares both readers.
Sources: xnu EXTERNAL_HEADERS/mach-o/loader.h, osfmk/mach/i386/_structs.h, osfmk/mach/arm/_structs.h,
dotnet/runtime src/coreclr/debug/createdump/dumpwritermacho.cpp.
"""

from __future__ import annotations

import struct
from typing import IO, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from dumpwalk import limits
from dumpwalk.core.corefile import CoreFile, EvidenceOf, Segment
from dumpwalk.core.memory import FileMemory
from dumpwalk.core.recording import Watch, unwatched
from dumpwalk.core.vocabulary import ArchName, Producer
from dumpwalk.dump import macho_notes, origin
from dumpwalk.dump.evidence_note import MACHO_OWNER, gaps, unpack
from dumpwalk.dump.segments import lay_out
from dumpwalk.errors import MalformedCore, NotACore, Unreadable
from dumpwalk.images import macho
from dumpwalk.images.macho import LC_NOTE, LC_SEGMENT_64, LC_THREAD
from dumpwalk.images.macho_images import list_images

_CPUS: Dict[int, ArchName] = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_SUBTYPES: Dict[ArchName, Tuple[int, ...]] = {"x86_64": (3, 4, 8), "aarch64": (0, 1, 2)}
"""x86_64: ALL, ARCH1, H; arm64: ALL, V8, E. The top byte holds capability bits."""
_MH_CORE = 4
_FILETYPES = {
    1: "object file",
    2: "executable",
    6: "dynamic library",
    7: "dynamic linker",
    8: "bundle",
    10: "dSYM file",
}
_STATES: Dict[Tuple[str, int], Tuple[str, ...]] = {
    ("x86_64", 4): (
        "rax", "rbx", "rcx", "rdx", "rdi", "rsi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "rip", "rflags", "cs", "fs", "gs",
    ),
    ("aarch64", 6): (*(f"x{i}" for i in range(29)), "fp", "lr", "sp", "pc"),
}  # fmt: skip
"""x86_THREAD_STATE64 and ARM_THREAD_STATE64, of 64-bit words; arm64's ends with a 32-bit cpsr."""
_PAC_MASK = ~((1 << 47) - 1) & ((1 << 64) - 1)
"""User addresses of macOS have 47 bits; what lies above in a code address of arm64e is the signature."""


class _Parts(NamedTuple):
    registers: List[Dict[str, int]]
    segments: List[Segment]
    notes: List[macho.Note]
    expected: int
    """Bytes that the file should have."""
    thread_limit: bool


def read_macho_core(path: str, file: str, extra_notes: Tuple[str, ...] = (), watch: Watch = unwatched) -> CoreFile:
    """The core in the plain file `file`, which the user knows as `path`; its memory is read through `watch`.

    Raises NotACore, MalformedCore, OSError.
    """
    with open(file, "rb") as stream:
        size = stream.seek(0, 2)
        arch, commands, position = load_commands(path, stream, size)
        parts = _sort(path, arch, commands, size, position)
        metadata: List[Optional[int]] = []
        evidence: Optional[EvidenceOf] = None
        for owner, offset, length in parts.notes:
            if owner == "process metadata" and offset < size:
                stream.seek(offset)
                metadata = macho_notes.metadata_tids(stream.read(min(length, limits.METADATA_BYTES)))
            elif owner == MACHO_OWNER and offset < size:
                stream.seek(offset)
                evidence = unpack(stream.read(min(length, limits.METADATA_BYTES)))
    segments, odd = lay_out(parts.segments)
    if evidence is not None:
        segments = lay_out([*segments, *gaps(evidence, list(segments))])[0]
    missing = max(0, parts.expected - size)
    damage: List[str] = []
    if missing:
        damage.append(f"the file is cut: {size} of at least {parts.expected} bytes are there")
    if parts.thread_limit:
        damage.append(f"only the first {limits.THREADS} threads were read")
    if odd:
        damage.append(f"{odd} segments overlap others or have absurd sizes")
    if evidence is not None:
        damage += [f"of the dump that it was made of: {said}" for said in evidence.damage]
    sentences = [*extra_notes, *damage]
    stack_register = "rsp" if arch == "x86_64" else "sp"
    try:
        captured = FileMemory(file, segments)
    except ValueError as error:
        raise Unreadable(f"{path} could not be read ({error}).") from error
    memory = watch(captured)
    try:
        told = macho_notes.thread_info(memory)
        threads, odd_ids = macho_notes.identify(parts.registers, stack_register, told, metadata)
        diag = origin.diaginfo(memory, origin.DIAGINFO_MACOS)
        found = list_images(memory, segments, diag.runtime_base, [t.registers.get(stack_register, 0) for t in threads])
    finally:
        captured.close()
    createdump = told is not None or diag != origin.DiagInfo()
    producer: Producer = "createdump" if createdump else "lldb" if parts.notes else "unknown"
    if told is not None and told.cut:
        sentences.append("createdump's list of thread ids is cut")
    return CoreFile(
        path=path,
        file=file,
        size_bytes=size,
        format="mach-o",
        arch=arch,
        os="macos",
        pid=told.pid if told else None,
        producer=producer if evidence is None else evidence.producer,
        kind=origin.memory_kind(segments, threads, found.file_bytes, stack_register)
        if evidence is None
        else evidence.kind,
        truncated=bool(missing) or (evidence is not None and evidence.truncated),
        missing_bytes=missing,
        threads=tuple(threads),
        segments=segments,
        images=found.images,
        runtime_base=diag.runtime_base,
        process_name=found.process_name,
        crash_signal=diag.crash_signal,
        notes=(*sentences, *odd_ids, *found.sentences, *diag.sentences),
        limited=found.limited,
        threads_cut=parts.thread_limit or (evidence is not None and evidence.threads_cut),
        damage=tuple(damage),
        evidence=evidence,
        parts_of=lay_out([Segment(a, b, 0, 0, bool(f & 1), bool(f & 2), bool(f & 4)) for a, b, f in evidence.map])[0]
        if evidence is not None
        else (),
        pac_mask=_PAC_MASK if arch == "aarch64" else 0,
    )


def load_commands(
    path: str, stream: IO[bytes], size: int
) -> Tuple[ArchName, Iterator[Tuple[int, Union[bytes, memoryview]]], int]:
    """(arch, the load commands, the file position behind them)."""
    stream.seek(0)
    header = stream.read(32)
    if len(header) < 32:
        raise MalformedCore(f"{path} is a Mach-O file cut inside its header, at {size} bytes.")
    cputype, subtype, filetype, count, length, _ = macho.start(header)
    if filetype != _MH_CORE:
        raise NotACore(f"{path} is a Mach-O {_FILETYPES.get(filetype, 'file')}, not a core.")
    arch = _CPUS.get(cputype)
    if arch is None or subtype & 0xFFFFFF not in _SUBTYPES[arch]:
        raise MalformedCore(f"{path} is a Mach-O core of an unknown processor ({cputype:#x}, {subtype:#x}).")
    if count > limits.LOAD_COMMANDS or length > limits.LOAD_COMMAND_BYTES or length < count * 8:
        raise MalformedCore(f"{path} is a Mach-O core with {count} load commands of {length} bytes, which cannot be.")
    if 32 + length > size:
        raise MalformedCore(f"{path} is a Mach-O core cut at {size} bytes, inside its {32 + length} bytes of headers.")
    data = memoryview(stream.read(length))

    def checked() -> Iterator[Tuple[int, Union[bytes, memoryview]]]:
        try:
            yield from macho.commands(data, count, aligned=4)
        except macho.Bad as error:
            raise MalformedCore(f"{path} is a Mach-O core whose {error}.") from error

    return arch, checked(), 32 + length


def _sort(
    path: str, arch: ArchName, commands: Iterator[Tuple[int, Union[bytes, memoryview]]], size: int, expected: int
) -> _Parts:
    registers: List[Dict[str, int]] = []
    segments: List[Segment] = []
    notes: List[macho.Note] = []
    unbacked, thread_limit = 0, False
    for kind, body in commands:
        if kind == LC_THREAD:
            if len(registers) < limits.THREADS:
                registers.append(_thread(path, arch, body))
            else:
                thread_limit = True
        elif kind == LC_SEGMENT_64:
            try:
                _, address, length, offset, file_size, protection = macho.segment(body)
            except macho.Bad as error:
                raise MalformedCore(f"{path} is a Mach-O core with {error}.") from error
            unbacked += max(0, length - file_size)
            if address + length > 1 << 64 or offset + file_size > 1 << 56:
                raise MalformedCore(f"{path} is a Mach-O core with a segment of an absurd size ({length:#x} bytes).")
            if unbacked > limits.UNBACKED_BYTES or file_size > length + limits.UNBACKED_BYTES:
                raise MalformedCore(
                    f"{path} is a Mach-O core whose segments claim {length:#x} bytes for {file_size:#x} in the file."
                )
            expected = max(expected, offset + min(file_size, length))
            held = max(0, min(file_size, length, size - offset))
            flags = (bool(protection & 1), bool(protection & 2), bool(protection & 4))
            segments.append(Segment(address, address + length, offset, held, *flags))
        elif kind == LC_NOTE and len(notes) < 1000:
            found = macho.note(body)
            if found is not None:
                notes.append(found)
    if not any(registers):
        raise MalformedCore(f"{path} is a Mach-O core without a thread whose registers can be read.")
    return _Parts(registers, segments, notes, expected, thread_limit)


def _thread(path: str, arch: ArchName, body: Union[bytes, memoryview]) -> Dict[str, int]:
    """General registers of one LC_THREAD; empty when it has no state of this machine."""
    position, values = 8, {}  # type: int, Dict[str, int]
    while position + 8 <= len(body):
        flavor, count = struct.unpack_from("<II", body, position)
        if flavor == 0 and count == 0:  # the padding at the end of createdump's C struct
            break
        if position + 8 + 4 * count > len(body):
            raise MalformedCore(f"{path} is a Mach-O core with a thread whose state claims {count} words.")
        names = _STATES.get((arch, flavor))
        if names and not values and 4 * count >= 8 * len(names):
            values = dict(zip(names, struct.unpack_from(f"<{len(names)}Q", body, position + 8)))
            if arch == "aarch64" and 4 * count >= 8 * len(names) + 4:
                (values["cpsr"],) = struct.unpack_from("<I", body, position + 8 + 8 * len(names))
        position += 8 + 4 * count
        if values:  # floating-point states follow; createdump's struct may have padding before them
            break
    return values
