"""Reads an ELF core's headers and notes: threads, memory map, mapped files, who wrote it and what it holds.

struct and not pyelftools: importing pyelftools takes 27 to 45 ms and then 7 us a program header, struct 0.2 us (548
segments), where lldb's backtrace of all threads, which a whole analysis is not to exceed, takes 300 ms.
tests/test_preflight_elf.py compares this reader with pyelftools. Layouts: System V gABI (Elf64_Ehdr, Elf64_Phdr).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import replace
from typing import IO, Dict, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import CoreFile, CoreImage, MappedPart, Segment, held_bytes
from dumpwalk.core.memory import FileMemory, Memory
from dumpwalk.core.recording import Watch, unwatched
from dumpwalk.core.vocabulary import ArchName
from dumpwalk.dump import elf_notes, origin
from dumpwalk.dump.evidence_note import unpack
from dumpwalk.dump.segments import lay_out
from dumpwalk.errors import MalformedCore, NotACore
from dumpwalk.images.elf import PHDR, PT_LOAD, PT_NOTE, ProgramHeader, rows_of
from dumpwalk.images.elf_memory import memory_build_id, memory_image_end

_EHDR = struct.Struct("<HHIQQQIHHHHHH")
_MACHINES: Dict[int, ArchName] = {62: "x86_64", 183: "aarch64"}
_OTHER_MACHINES = {3: "32-bit x86", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "s390x", 40: "32-bit ARM",
                   243: "RISC-V", 258: "LoongArch"}  # fmt: skip
_ET_CORE = b"\x04\0"
_PN_XNUM = 0xFFFF


def read_elf_core(path: str, file: str, extra_notes: Tuple[str, ...] = (), watch: Watch = unwatched) -> CoreFile:
    """The core in the plain file `file`, which the user knows as `path`; its memory is read through `watch`.

    Raises NotACore, MalformedCore, OSError.
    """
    with open(file, "rb") as stream:
        size = stream.seek(0, 2)
        arch, headers, table_end = program_headers(path, stream, size)
        plausible = [h for h in headers if h.offset + min(h.file_size, h.memory_size or h.file_size) < 1 << 56]
        expected = max([table_end, *(h.offset + h.file_size for h in plausible if h.file_size < 1 << 56)])
        told = elf_notes.ElfNotes()
        for header in plausible:
            if header.kind == PT_NOTE and header.file_size:
                stream.seek(min(header.offset, size))  # a seek far behind the end is an error of its own
                data = stream.read(min(header.file_size, limits.NOTE_BYTES, size))
                told.cut = told.cut or len(data) < header.file_size
                elf_notes.parse(memoryview(data), arch, told)
    missing = max(0, expected - size)
    if not told.threads:
        _refuse_without_threads(path, told, size, expected)
    loads = [h for h in plausible if h.kind == PT_LOAD]
    segments, odd = lay_out([_segment(h, size) for h in loads])
    damage: List[str] = []
    if missing:
        damage.append(f"the file is cut: {size} of at least {expected} bytes are there")
    if told.cut:
        damage.append(f"the list of threads is cut: {len(told.threads)} could be read, there were more")
    if told.thread_limit:
        damage.append(f"only the first {limits.THREADS} threads were read")
    if told.files_damaged:
        damage.append("the list of mapped files is damaged: its count does not fit its entries and names")
    if odd or len(plausible) < len(headers):
        damage.append(f"{odd + len(headers) - len(plausible)} segments overlap others or have absurd sizes")
    evidence = unpack(told.evidence) if told.evidence is not None else None
    if evidence is not None:
        damage += [f"of the dump that it was made of: {said}" for said in evidence.damage]
    sentences = [*extra_notes, *damage]
    captured = FileMemory(file, segments)
    memory = watch(captured)
    try:
        images = _images(told, memory, segments)
        pid = told.pid
        producer = origin.elf_producer(told, memory)
        diag = origin.diaginfo(memory, origin.DIAGINFO_LINUX)
        crash = origin.crash(told, producer, pid)
        kind = origin.memory_kind(
            segments,
            told.threads,
            held_bytes(segments, [(m.start, m.end) for m in told.mappings]),
            "rsp" if arch == "x86_64" else "sp",
        )
    finally:
        captured.close()
    sentences += [*crash.sentences, *diag.sentences]
    return CoreFile(
        path=path,
        file=file,
        size_bytes=size,
        format="elf",
        arch=arch,
        os="linux",
        pid=pid,
        parent_pid=told.parent_pid,
        producer=producer,
        kind=evidence.kind if evidence is not None else kind,
        truncated=bool(missing) or told.cut or (evidence is not None and evidence.truncated),
        missing_bytes=missing,
        threads=tuple(told.threads),
        segments=segments,
        images=images,
        runtime_base=diag.runtime_base,
        process_name=told.process_name,
        crash_thread=crash.thread,
        crash_signal=crash.signal or diag.crash_signal,
        trapped=origin.trapped(told, producer),
        notes=tuple(sentences),
        limited=(f"only the first {limits.IMAGES} mapped files were looked at",)
        if len(images) >= limits.IMAGES
        else (),
        threads_cut=bool(told.cut or told.thread_limit or (evidence is not None and evidence.threads_cut)),
        pac_mask=told.pac_mask,
        files_damaged=told.files_damaged,
        damage=tuple(damage),
        strings_start=min((told.auxv[k] for k in elf_notes.AT_STRINGS if told.auxv.get(k)), default=None),
        evidence=evidence,
        mapped=tuple(MappedPart(m.start, m.end, m.offset * m.page, m.path) for m in told.mappings),
        parts_of=lay_out(_wholes(loads))[0] if evidence is not None else (),
    )


def program_headers(path: str, stream: IO[bytes], size: int) -> Tuple[ArchName, List[ProgramHeader], int]:
    """(arch, program headers as far as the file has them, where their table should end)."""
    stream.seek(0)
    ident = stream.read(64)
    if len(ident) >= 18 and ident[5] == 1 and ident[16:18] != _ET_CORE:
        from dumpwalk.images.elf_image import describe  # only a file that is no core pays for it

        raise NotACore(f"{path} is {describe(stream.name, ident)}, not a core.")
    if len(ident) >= 6:
        if ident[5] != 1:
            raise NotACore(f"{path} is a big-endian ELF file; only cores of x86_64 and aarch64 processes are read.")
        if ident[4] != 2:
            raise NotACore(f"{path} is a 32-bit ELF file; only cores of x86_64 and aarch64 processes are read.")
    if len(ident) < 64:
        raise MalformedCore(f"{path} is an ELF file cut inside its header, at {size} bytes.")
    _, machine, _, _, table, sections, _, _, entry_size, count, _, _, _ = _EHDR.unpack_from(ident, 16)
    if machine not in _MACHINES:
        name = _OTHER_MACHINES.get(machine, f"machine {machine}")
        raise NotACore(f"{path} is a core of a {name} process; only x86_64 and aarch64 cores are read.")
    if ident[7] == 9:
        raise NotACore(f"{path} is a core of a FreeBSD process; only cores of Linux and macOS processes are read.")
    if count == _PN_XNUM:
        # More segments than e_phnum can hold: the count is in sh_info of the first section header (gABI, elf(5)).
        stream.seek(min(sections, size))
        first = stream.read(64)
        if not sections or len(first) < 48:
            raise MalformedCore(f"{path} is an ELF core cut at {size} bytes, before the count of its segments.")
        (count,) = struct.unpack_from("<I", first, 44)
    if count == 0 or entry_size != PHDR.size or table < 64:
        raise MalformedCore(f"{path} is an ELF core without a usable table of segments.")
    if count > limits.PROGRAM_HEADERS:
        raise MalformedCore(f"{path} claims {count} segments; more than {limits.PROGRAM_HEADERS} are not read.")
    end = table + count * PHDR.size
    if table >= size:
        raise MalformedCore(f"{path} is an ELF core cut at {size} bytes, before its table of segments.")
    stream.seek(table)
    data = stream.read(count * PHDR.size)
    headers = [header for header in rows_of(data) if header.kind in (PT_LOAD, PT_NOTE)]
    return _MACHINES[machine], headers, end


def _refuse_without_threads(path: str, told: elf_notes.ElfNotes, size: int, expected: int) -> None:
    foreign = [owner for owner in told.owners if owner.startswith(("FreeBSD", "NetBSD", "OpenBSD", "SUNW"))]
    if foreign:
        raise NotACore(f"{path} is a core of a {foreign[0]} process; only cores of Linux and macOS processes are read.")
    if expected > size:
        raise MalformedCore(f"{path} is an ELF core cut at {size} of at least {expected} bytes, with no thread left.")
    raise MalformedCore(f"{path} is an ELF core without a single thread in its notes.")


def _segment(header: ProgramHeader, size: int) -> Segment:
    held = max(0, min(header.file_size, header.memory_size, size - header.offset))
    flags = header.flags
    return Segment(
        header.address,
        header.address + header.memory_size,
        header.offset,
        held,
        bool(flags & 4),
        bool(flags & 2),
        bool(flags & 1),
    )


def _wholes(loads: Sequence[ProgramHeader]) -> List[Segment]:
    """The segments that an evidence core's are parts of: each part names the address at which its segment begins."""
    wholes: Dict[int, Segment] = {}
    for header in loads:
        start = min(header.physical or header.address, header.address)
        known = wholes.get(start)
        end = header.address + header.memory_size
        if known is None or end > known.end:
            wholes[start] = replace(_segment(header, 0), start=start, end=end)
    return list(wholes.values())


def _images(told: elf_notes.ElfNotes, memory: Memory, segments: Tuple[Segment, ...]) -> Tuple[CoreImage, ...]:
    """Mapped files that are or may be code, in order of address: a run of mappings of one path that begins at offset 0.

    Data files (locale archives, ICU data) are left out when their first page is in the dump and shows no header.
    """
    executable = [s for s in segments if s.executable]
    ends = [s.end for s in executable]
    images: List[CoreImage] = []
    run: Optional[Tuple[str, int, int]] = None
    ordered = sorted(told.mappings, key=lambda m: m.start)

    def close() -> None:
        if run is None or len(images) >= limits.IMAGES:
            return
        path, base, end = run
        magic = memory.read(base, 4)
        first = bisect_right(ends, base)
        code = first < len(executable) and executable[first].start < end
        if magic is None or magic == b"\x7fELF" or magic[:2] == b"MZ" or code:
            images.append(CoreImage(path, base, end, memory_build_id(memory, base) if magic == b"\x7fELF" else None))

    for mapping in ordered:
        if run is not None and mapping.path == run[0]:
            run = (run[0], run[1], max(run[2], mapping.end))
            continue
        close()
        run = (mapping.path, mapping.start, mapping.end) if mapping.offset == 0 else None
    close()
    vdso = told.auxv.get(elf_notes.AT_SYSINFO_EHDR)
    if vdso and all(image.base != vdso for image in images) and memory.read(vdso, 4) == b"\x7fELF":
        end = memory_image_end(memory, vdso)
        images.append(CoreImage("[vdso]", vdso, end, memory_build_id(memory, vdso)))
    return tuple(sorted(images, key=lambda image: image.base))
