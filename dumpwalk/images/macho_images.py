"""The images of a macOS core: from dyld's own list, else from what image headers are found in the dump.

Sources: dyld include/mach-o/dyld_images.h (dyld_all_image_infos, dyld_image_info), mach-o/loader.h; createdump writes
the list, its path strings and every image's header and load commands even into heap dumps (crashinfomac.cpp).
"""

from __future__ import annotations

import struct
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import CoreImage, Segment, held_bytes
from dumpwalk.core.memory import Memory, captured_run, for_search, read_u64
from dumpwalk.images import macho
from dumpwalk.images.macho import (
    LC_ID_DYLIB,
    LC_ID_DYLINKER,
    LC_SEGMENT_64,
    LINKEDIT,
    MH_BUNDLE,
    MH_DYLIB,
    MH_DYLINKER,
    MH_EXECUTE,
    PAGEZERO,
    TEXT,
)

_IMAGE_TYPES = (MH_EXECUTE, MH_DYLIB, MH_DYLINKER, MH_BUNDLE)
_IN_SHARED_CACHE = 0x80000000


class ImageHeader(NamedTuple):
    filetype: int
    uuid: Optional[str]
    """Lower-case hex without dashes."""
    name: Optional[str]
    """Install name of a library or of dyld."""
    slide: int
    text_end: int
    end: int
    """End of the last segment but __LINKEDIT; of __TEXT for a shared cache library, whose data lies elsewhere."""
    all_image_info: Optional[int]
    """Load address of the section __all_image_info, which only dyld has."""


class Found(NamedTuple):
    images: Tuple[CoreImage, ...]
    process_name: Optional[str]
    file_bytes: Tuple[int, int]
    """(bytes of all images' __TEXT, how many of them the dump holds)."""
    sentences: List[str]
    limited: Tuple[str, ...] = ()
    """What a bound kept from being found."""


def image_header(memory: Memory, base: int) -> Optional[ImageHeader]:
    """The image whose Mach header lies at `base`; None when header or commands are not captured or make no sense."""
    found = macho.header(lambda offset, size: memory.read(base + offset, size))
    if found is None or found.filetype not in _IMAGE_TYPES:
        return None
    name = None
    info: Optional[int] = None
    for command, body in found.commands:
        size = len(body)
        if command in (LC_ID_DYLIB, LC_ID_DYLINKER) and size > 12:
            (at,) = struct.unpack_from("<I", body, 8)
            name = _text(body[at:].split(b"\0")[0]) if at < size else None
        elif command == LC_SEGMENT_64:
            for section in range(72, size - 79, 80):
                if body[section : section + 16] == b"__all_image_info":
                    (info,) = struct.unpack_from("<Q", body, section + 32)
    rows = macho.segments(found)
    text = next(((r.address, r.address + r.size) for r in reversed(rows) if r.name == TEXT), None)
    ends = [r.address + r.size for r in rows if r.name not in (PAGEZERO, LINKEDIT)]
    if text is None:
        return None
    slide = base - text[0]
    end = text[1] if found.flags & _IN_SHARED_CACHE else max(ends)
    return ImageHeader(
        found.filetype,
        macho.uuid(found),
        name,
        slide,
        text[1] + slide,
        end + slide,
        None if info is None else info + slide,
    )


def list_images(
    memory: Memory, segments: Sequence[Segment], runtime_base: Optional[int], stack_pointers: Sequence[int]
) -> Found:
    """All images that the dump tells of, sorted by base. Raises nothing."""
    sentences: List[str] = []
    limited: List[str] = []
    headers: Dict[int, ImageHeader] = {}
    listed: Dict[int, str] = {}
    for base, header in _headers(memory, segments, limited):
        headers[base] = header
        if header.filetype == MH_DYLINKER and header.all_image_info is not None:
            listed = _dyld_list(memory, header.all_image_info)
            if listed:
                listed.setdefault(base, header.name or "/usr/lib/dyld")
                break
    if not listed:
        sentences.append("the dump has no list of dyld's images; they were looked for by their headers")
    for base in [*listed, *([runtime_base] if runtime_base else [])]:
        if base not in headers:
            found = image_header(memory, base)
            if found is not None:
                headers[base] = found
    executable = _executable_path(memory, stack_pointers[:1]) if not listed else None
    images: List[CoreImage] = []
    process_name = executable
    bases = set(listed) if listed else set(headers)
    if runtime_base and runtime_base in headers:
        bases.add(runtime_base)
    wanted = sorted(bases)
    if len(wanted) > limits.IMAGES:
        limited.append(f"only the first {limits.IMAGES} images were looked at")
    for index, base in enumerate(wanted[: limits.IMAGES]):
        known = headers.get(base)
        path = listed.get(base) or (known.name if known else None)
        if path is None:
            path = executable if executable and known and known.filetype == MH_EXECUTE else "(unnamed image)"
        end = known.end if known else None
        if end is not None and index + 1 < len(wanted):
            end = min(end, wanted[index + 1])
        images.append(CoreImage(path, base, end, known.uuid if known else None))
        if known and known.filetype == MH_EXECUTE and process_name is None:
            process_name = path
    texts = [(base, headers[base].text_end) for base in wanted if base in headers]
    name = process_name.rsplit("/", 1)[-1] if process_name else None
    return Found(tuple(images), name, held_bytes(segments, texts), sentences, tuple(limited))


def _headers(memory: Memory, segments: Sequence[Segment], limited: List[str]) -> Iterator[Tuple[int, ImageHeader]]:
    """Images whose header begins a captured segment, then those at any other page of read-only or executable memory."""
    seen = set()
    swept = for_search(memory)
    for segment in segments:
        if segment.file_size >= 32 and not segment.start & 0xFFF:
            header = image_header(memory, segment.start) if swept.read(segment.start, 4) == macho.MAGIC else None
            if header is not None:
                seen.add(segment.start)
                yield segment.start, header
    pages = 0
    for segment in segments:
        if segment.writable or segment.file_size < 0x2000:
            continue
        for address in range((segment.start + 0x1000) & ~0xFFF, segment.start + segment.file_size - 31, 0x1000):
            pages += 1
            if pages > limits.HEADER_SCAN_PAGES:
                limited.append(f"only {limits.HEADER_SCAN_PAGES} pages were searched for images")
                return
            if swept.read(address, 4) == macho.MAGIC and address not in seen:
                header = image_header(memory, address)
                if header is not None:
                    yield address, header


def _dyld_list(memory: Memory, address: int) -> Dict[int, str]:
    """Load address → path, from dyld_all_image_infos. Empty when it is not captured or was being changed."""
    head = memory.read(address, 16)
    if head is None:
        return {}
    version, count, array = struct.unpack("<IIQ", head)
    if not 0 < version < 1000 or not 0 < count <= limits.IMAGES or not array:
        return {}  # the headers tell then, and they are bounded too
    entries = memory.read(array, 24 * count)
    if entries is None:
        return {}
    found = {base: _string(memory, path) or "(unnamed image)" for base, path, _ in struct.iter_unpack("<QQQ", entries)}
    loader = read_u64(memory, address + 32)  # dyldImageLoadAddress
    path_pointer = read_u64(memory, address + 192) if version >= 15 else None  # dyldPath
    if loader and loader not in found and path_pointer:
        found[loader] = _string(memory, path_pointer) or "/usr/lib/dyld"
    return {base: path for base, path in found.items() if base}


def _string(memory: Memory, address: int) -> Optional[str]:
    """A NUL-terminated path of at most 4 KiB, as far as it is captured."""
    found = captured_run(memory, address)
    if found is None:
        return None
    raw = for_search(memory).read(address, min(4096, found[1] - address)) or b""
    memory.read(address, min(raw.find(b"\0") % 4096 + 1, len(raw)))  # the string alone: others stand behind it
    return _text(raw.split(b"\0")[0]) or None


def _executable_path(memory: Memory, stack_pointers: Sequence[int]) -> Optional[str]:
    """`executable_path=` that the kernel leaves above the main thread's stack (xnu bsd/kern/kern_exec.c)."""
    for sp in stack_pointers:
        found = captured_run(memory, sp)
        if found is None:
            continue
        size = min(found[1] - sp, 16 << 20)
        raw = for_search(memory).read(found[1] - size, size) or b""
        at = raw.rfind(b"executable_path=")
        if at >= 0:
            memory.read(found[1] - size + at, min(4096, size - at))
            return _text(raw[at + 16 : at + 16 + 4096].split(b"\0")[0]) or None
    return None


def _text(raw: bytes) -> str:
    return raw[: limits.NAME_CHARACTERS * 8].decode("utf-8", "backslashreplace")
