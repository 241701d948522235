"""Which .NET runtime a process has: its module, where it is loaded, its version and how each was found out.

Sources: src/coreclr/debug/runtimeinfo/runtimeinfo.cpp (DotNetRuntimeInfo, single-file hosts only; version 2, not in
6, has RuntimeVersion), the "@(#)Version" string that the build puts into every libcoreclr, createdump's
specialdiaginfo.h (RuntimeBaseAddress). 3.1 numbers its files 4.700.x; later file versions are major.minor.
(patch * 100 + year).(date).
"""

from __future__ import annotations

import re
import struct
from dataclasses import field
from typing import Dict, Iterator, List, Match, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.corefile import CoreImage
from dumpwalk.core.libc import libc_of
from dumpwalk.core.memory import for_search
from dumpwalk.core.process import Module, Process
from dumpwalk.coreclr.image import Image, ImageSegment
from dumpwalk.coreclr.open_image import open_image
from dumpwalk.coreclr.other_dotnet import CONTRACT_SYMBOL, describes_coreclr, is_other_dotnet
from dumpwalk.coreclr.traces import image_base
from dumpwalk.dataclass import dataclass

SHARED, SINGLE_FILE = "shared", "single-file"
INFO_SYMBOL = "DotNetRuntimeInfo"
DAC_TABLE_SYMBOL = "g_dacTable"
_HOSTING_SYMBOL = "coreclr_initialize"
"""Exported by every shared CoreCLR, 3.1 too, which exports nothing else that is telling."""

_NAMES = ("libcoreclr.so", "libcoreclr.dylib")
_VERSION_MARK = b"@(#)Version "
_VERSION_TEXT = re.compile(rb"@\(#\)Version (\d{1,5})\.(\d{1,5})\.(\d{1,7})\.(\d{1,7})")
_MARKS = ((INFO_SYMBOL, b"DotNetRuntimeInfo\0"), (CONTRACT_SYMBOL, b"DNCCDAC\0"))
"""How the two descriptors begin; both are 8-aligned in the data segments."""
PATH_VERSION = re.compile(r"Microsoft\.NETCore\.App/(\d{1,4})\.(\d{1,4})\.(\d{1,5})[^/]*/")
_SEARCHED_BYTES = 64 << 20
"""Bytes of one image searched for its version string; CoreCLR's data segments have 1 to 2 MB."""


@dataclass
class RuntimeInfo:
    """What is known of the runtime. `version` is None when nothing in the dump tells it."""

    name: str
    """.NET Core up to 3.1, else .NET."""
    version: Optional[str]
    """major.minor.patch; only major.minor where the patch is not known. Taken as it is, known to dumpwalk or not."""
    version_source: Optional[str]
    module: Optional[str]
    """Path in the process."""
    file: Optional[str]
    """Matched file on this machine, None when it is missing or another build."""
    base: int
    build_id: Optional[str]
    flavour: Optional[str]
    """shared (libcoreclr) or single-file (linked into the program); None when neither name nor exports tell."""
    located_by: str
    """name, diaginfo, exports (of a listed module), contents (its descriptors), scan (of image headers in memory) or version
    string (the build's own, in its data)."""
    libc: Optional[str]
    """glibc, musl, apple; None when no module tells."""
    image: Image = field(repr=False)
    file_version: Optional[str] = None
    """Four numbers, as in 10.0.1226.42308."""
    contract_address: Optional[int] = None
    """DotNetRuntimeContractDescriptor (9 and later)."""
    dac_table: Optional[Tuple[int, Optional[int]]] = None
    """(address, size in bytes) of g_dacTable; the size is None on macOS."""
    notes: List[str] = field(default_factory=list)
    """Sentences: contradictions between sources, second runtimes."""
    others: List[int] = field(default_factory=list)
    """Bases of further runtimes in the process."""

    @property
    def major(self) -> Optional[int]:
        return int(self.version.split(".")[0]) if self.version else None


def identify(process: Process, marks: Sequence[int] = ()) -> Optional[RuntimeInfo]:
    """The process's CoreCLR, or None when no module, export or image header shows one.

    `marks` are addresses of version strings (traces.py): the largest image that holds one is believed where nothing else is.
    """
    found = [row for row in _candidates(process) if not is_other_dotnet(row[4])]
    found = found or [row for row in _by_marks(process, marks) if not is_other_dotnet(row[4])]
    if not found:
        return None
    path, base, file, build_id, image, located_by = found[0]
    info = RuntimeInfo(
        name=".NET",
        version=None,
        version_source=None,
        module=path or None,
        file=file,
        base=base,
        build_id=build_id or image.build_id(),
        flavour=None,
        located_by=located_by,
        libc=libc_of(process),
        image=image,
        others=[other[1] for other in found[1:]],
    )
    told_base = process.corefile.runtime_base if process.corefile is not None else None
    if told_base and told_base != base:
        info.notes.append(f"createdump recorded the runtime at 0x{told_base:x}, not at 0x{base:x}")
    if info.others:
        listed = ", ".join(f"0x{other:x}" for other in info.others)
        info.notes.append(f"another CoreCLR image is loaded too, at {listed}; the one at 0x{base:x} is analysed")
    described, contract = image.symbol(INFO_SYMBOL), image.symbol(CONTRACT_SYMBOL)
    table = image.symbol(DAC_TABLE_SYMBOL)
    words = _marks(process, image) if described is None or contract is None else {}
    info.contract_address = contract.address if contract else words.get(CONTRACT_SYMBOL)
    info.dac_table = (table.address, table.size) if table else None
    described_at = described.address if described else words.get(INFO_SYMBOL)
    info.flavour = _flavour(path, image, described_at is not None)
    _find_version(process, info, described_at)
    return info


def _flavour(path: str, image: Image, describes_itself: bool) -> Optional[str]:
    if path.rsplit("/", 1)[-1] in _NAMES:
        return SHARED
    if path or describes_itself:
        return SINGLE_FILE
    return SHARED if image.symbol(_HOSTING_SYMBOL) is not None else None


_Candidate = Tuple[str, int, Optional[str], Optional[str], Image, str]


def _candidates(process: Process) -> Iterator[_Candidate]:
    """(path, base, file, build-id, image, how) of each runtime image; searching further only while none is found."""
    known = _listed(process)
    named = [row for row in known if row[0].rsplit("/", 1)[-1] in _NAMES]
    for path, base, file, build_id in named:
        image = open_image(process.memory, base, file) or _headless(process, base)
        yield path, base, file, build_id, image, "name"
    if named:
        return
    told_base = process.corefile.runtime_base if process.corefile is not None else None
    if told_base:
        path, _, file, build_id = next((row for row in known if row[1] == told_base), ("", told_base, None, None))
        image = open_image(process.memory, told_base, file) or _headless(process, told_base)
        yield path, told_base, file, build_id, image, "diaginfo"
        return
    for path, base, file, build_id in known[: limits.IMAGES]:
        opened = open_image(process.memory, base, file)
        if opened is not None and _exports_runtime(opened):
            yield path, base, file, build_id, opened, "exports"
            return
    for path, base, file, build_id in known[: limits.IMAGES]:
        opened = open_image(process.memory, base, file)
        if opened is not None and _described(process, opened):
            yield path, base, file, build_id, opened, "contents"
            return
    tried = {row[1] for row in known}
    for base in _headers_in_memory(process):
        opened = open_image(process.memory, base) if base not in tried else None
        if opened is not None and (_exports_runtime(opened) or _described(process, opened)):
            yield "", base, None, None, opened, "scan"
            return


def _by_marks(process: Process, marks: Sequence[int]) -> Iterator[_Candidate]:
    """The image of a version string, the largest of several: libcoreclr is twice the next one."""
    best: Optional[Tuple[int, _Candidate]] = None
    known = {row[1]: row for row in _listed(process)}
    for mark in marks[: limits.IMAGES]:
        where = image_base(process, mark)
        if where is None:
            continue
        path, base, end = where
        _, _, file, build_id = known.get(base, ("", base, None, None))
        image = open_image(process.memory, base, file) or _headless(process, base)
        if not image.segments:
            image.segments.append(ImageSegment(base, end, 0, 0, True, True))
        size = max(s.end for s in image.segments) - base
        if best is None or size > best[0]:
            best = (size, (path, base, file, build_id, image, "version string"))
    if best is not None:
        yield best[1]


def _captured(process: Process, image: Image) -> Iterator[Tuple[int, bytes]]:
    """(address, bytes) of what the dump holds of the image's segments, the writable ones first."""
    swept = for_search(process.memory)
    for segment in sorted(image.segments, key=lambda s: not s.writable):
        at, end = segment.start, min(segment.end, segment.start + _SEARCHED_BYTES)
        while at < end:
            found = swept.extent(at)
            if found is None:
                at = (at & ~0xFFF) + 0x1000
                continue
            stop = min(end, found[1])
            yield at, bytes(found[2][at - found[3] : stop - found[3]])
            at = stop


def _marks(process: Process, image: Image) -> Dict[str, int]:
    """Addresses of the runtime's two descriptors by the words they begin with, for images without a symbol table."""
    marks: Dict[str, int] = {}
    for start, data in _captured(process, image):
        for name, mark in _MARKS:
            at = data.find(mark)
            while at >= 0 and name not in marks:
                if (start + at) % 8 == 0:
                    marks[name] = start + at
                    process.memory.read(start + at, len(mark))
                at = data.find(mark, at + 1)
    return marks


def _described(process: Process, image: Image) -> bool:
    """A descriptor of CoreCLR stands in its data. A data contract whose text is not at hand may be NativeAOT's."""
    marks = _marks(process, image)
    return INFO_SYMBOL in marks or CONTRACT_SYMBOL in marks and bool(describes_coreclr(image, marks[CONTRACT_SYMBOL]))


def _headless(process: Process, base: int) -> Image:
    """An image whose header was not captured: its extent from the module list, no symbols."""
    image = Image(process.memory, base, None)
    module = next((m for m in process.modules if m.base == base), None)
    if module is not None and module.end is not None and module.end > base:
        image.segments.append(ImageSegment(base, module.end, 0, 0, True, True))
    return image


def _listed(process: Process) -> List[Tuple[str, int, Optional[str], Optional[str]]]:
    """(path, base, matched file, build-id) of modules, then of the core's own image list, one row a base."""
    rows: Dict[int, Tuple[str, int, Optional[str], Optional[str]]] = {}
    for module in process.modules:
        if module.base is not None:
            rows.setdefault(module.base, (module.path, module.base, _usable_file(module), module.build_id))
    images: Tuple[CoreImage, ...] = process.corefile.images if process.corefile is not None else ()
    for image in images:
        rows.setdefault(image.base, (image.path, image.base, None, image.build_id))
    return list(rows.values())


def _usable_file(module: Module) -> Optional[str]:
    return module.file if module.match == "matched" else None


def _exports_runtime(image: Image) -> bool:
    if is_other_dotnet(image):
        return False
    if any(image.symbol(name) is not None for name in (DAC_TABLE_SYMBOL, INFO_SYMBOL, _HOSTING_SYMBOL)):
        return True
    contract = image.symbol(CONTRACT_SYMBOL)
    return contract is not None and bool(describes_coreclr(image, contract.address))


def _headers_in_memory(process: Process) -> Iterator[int]:
    """Starts of captured runs that hold an ELF or Mach-O header."""
    swept = for_search(process.memory)
    for count, segment in enumerate(process.memory.segments()):
        if count >= limits.PROGRAM_HEADERS:
            return
        if swept.read(segment.start, 4) in (b"\x7fELF", b"\xcf\xfa\xed\xfe"):
            yield segment.start


def _find_version(process: Process, info: RuntimeInfo, described_at: Optional[int]) -> None:
    """The first source that tells; sources that contradict it become notes."""
    told: List[Tuple[str, Optional[str], str]] = []
    numbers = _from_runtime_info(info, described_at) if described_at is not None else None
    if numbers is not None:
        told.append((*spell(numbers), "DotNetRuntimeInfo"))
    text, where = _from_version_string(process, info)
    if text is not None:
        told.append((*spell(text), where))
    by_path = PATH_VERSION.search(info.module or "")
    if by_path is not None:
        told.append((".".join(by_path.groups()), None, "path"))
    by_table = _from_table_size(info)
    if by_table is not None:
        told.append((by_table, None, "size of g_dacTable"))
    if not told:
        return
    info.version, info.file_version, info.version_source = told[0]
    for version, file_version, source in told[1:]:
        if info.version == "3.1" and source == "path" and version.startswith("3.1."):
            info.version, info.version_source = version, f"{info.version_source}, path"
        elif not _agree(info.version, version):
            info.notes.append(f"{source} says {version}, but {info.version_source} says {info.version}")
        info.file_version = info.file_version or file_version
    major = int(info.version.split(".")[0])
    info.name = ".NET Core" if major < 5 else ".NET"
    if info.contract_address is not None and major < 9:
        info.notes.append(f"the image has a data contract, which .NET {info.version} does not")


def _agree(one: str, other: str) -> bool:
    """Equal as far as both go: 10.0.12 and 10.0 agree."""
    return all(a == b for a, b in zip(one.split("."), other.split(".")))


def spell(numbers: Tuple[int, int, int, int]) -> Tuple[str, str]:
    """(release, file version) of a file version's four numbers."""
    major, minor, third, fourth = numbers
    whole = f"{major}.{minor}.{third}.{fourth}"
    if (major, minor) == (4, 700):
        # 3.0 and 3.1 share 4.700; their patch is not in it. 3.1.0 was 4.700.19.56404.
        return ("3.1" if (third, fourth) >= (19, 56404) else "3.0"), whole
    if major < 5:
        return f"{major}.{minor}", whole
    return f"{major}.{minor}.{third // 100 if third < 100_000 else third}", whole


def _from_runtime_info(info: RuntimeInfo, address: int) -> Optional[Tuple[int, int, int, int]]:
    data = info.image.read(address, 0x70)
    if data is None or data[:18] != b"DotNetRuntimeInfo\0":
        return None
    if struct.unpack_from("<i", data, 0x14)[0] < 2:  # version 1 (5 and 6) ends before RuntimeVersion
        return None
    numbers: Tuple[int, int, int, int] = struct.unpack_from("<4i", data, 0x60)
    return numbers if all(0 <= n < 1_000_000 for n in numbers) and numbers[0] > 0 else None


def _from_version_string(process: Process, info: RuntimeInfo) -> Tuple[Optional[Tuple[int, int, int, int]], str]:
    for start, captured in _captured(process, info.image):
        match = _version_in(captured)
        if match is not None:
            process.memory.read(start + match.start(), len(match[0]))
            return _numbers(match), "version string in the dump"
    for segment in sorted(info.image.segments, key=lambda s: not s.writable):
        data = info.image.read_file(segment.start, min(segment.file_size, _SEARCHED_BYTES))
        match = _version_in(data) if data else None
        if match is not None:
            return _numbers(match), "version string in the module file"
    return None, ""


def version_text(data: bytes) -> Optional[Tuple[int, int, int, int]]:
    """The four numbers behind `@(#)Version`, which the build puts into every native part of .NET (eng/native/version)."""
    match = _version_in(data)
    return _numbers(match) if match is not None else None


def _version_in(data: bytes) -> Optional[Match[bytes]]:
    at = data.find(_VERSION_MARK)
    while at >= 0:
        match = _VERSION_TEXT.match(data, at)
        if match is not None:
            return match
        at = data.find(_VERSION_MARK, at + 1)
    return None


def _numbers(match: Match[bytes]) -> Tuple[int, int, int, int]:
    major, minor, third, fourth = (int(number) for number in match.groups())
    return major, minor, third, fourth


_TABLE_SIZES = {0x4E8: "8.0", 0x4F0: "9.0", 0x408: "10.0", 0x2C0: "6.0"}
"""Sizes of g_dacTable as exported by 6.0.36, 8.0.30 and 8.0.31, 9.0.5 and 9.0.20, 10.0.9 to 10.0.14 (Linux)."""


def _from_table_size(info: RuntimeInfo) -> Optional[str]:
    size = info.dac_table[1] if info.dac_table else None
    return _TABLE_SIZES.get(size) if size else None
