"""Writes dumpwalk/coreclr/locks/crst_names.json: where static Crsts lie in builds of the runtime that carry no symbols.

`python scripts/make_crst_names.py` reads the runtimes of fixtures/packages.py; `--image FILE` adds another build, such as a
libcoreclr.so that no registry carries (rows that are in the file already stay).

Release builds pass no CrstType to CrstBase::InitWorker (src/coreclr/vm/crst.h), so code does not tell which lock is made. What it
tells is where: each static Crst is made by `InitWorker(this, flags)` with a constant address, in the order in which the linker
laid the functions. Builds for macOS keep their symbols. A build without symbols is set beside one of the same source that has
them, and its locks are named only where all of this agrees, for every one of them:

- the flags, one after the other;
- which of them are made in one and the same function (by symbols, or by the unwind table's functions);
- how far into its function each is made, within a few instructions;
- the order of their addresses, for those that are not private to one source file.

One lock exists on Linux alone in 8 (perf maps); its place is told in EXTRA. A name so found is corroborated, never proved. x64
alone: the arm64 compilers of the two platforms order and outline this code in different ways, so that it does not align.
"""

from __future__ import annotations

import argparse
import bisect
import json
import re
import struct
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dumpwalk.core.memory import BytesMemory  # noqa: E402
from dumpwalk.core.names import plain  # noqa: E402
from dumpwalk.images import elf, macho  # noqa: E402
from dumpwalk.images.elf_memory import memory_build_id  # noqa: E402
from dumpwalk.images.elf_symbols import readable  # noqa: E402
from dumpwalk.unwinding.eh_frame import EhFrames  # noqa: E402
from fixtures import packages  # noqa: E402

TABLE = ROOT / "dumpwalk" / "coreclr" / "locks" / "crst_names.json"
TELLING = {129, 153, 25}
"""Flags that locks of every version are made with and no other function is called with: they show which one InitWorker is."""
SLACK = 0x90
"""Bytes by which compilers and platforms differ in what a function does before it makes its lock."""
MEMBERS = {
    "g_SyncBlockCacheInstance+0x10": "SyncBlockCache::m_CacheLock",
    "s_EventStore+0x8": "EventStore::m_EventStoreCrst",
}
PERF_MAP = "PerfMap::s_csPerfMap"
EXTRA = {8: ("PEImage::s_ijwHashLock", PERF_MAP)}
"""Major version to (the lock before it, the lock that only Linux has): pgo.cpp's stands behind it, perfmap.cpp is between them."""
CHANGED = {PERF_MAP}
"""Made with other flags in some patch releases: with CRST_UNSAFE_ANYMODE since one after 10.0.9."""

REFERENCES = (("sarif-5.7.0-darwin", 8, "8.0.30 osx-x64"), ("azmcp-2.0.5-darwin-x64", 10, "10.0.9 osx-x64"))
STRIPPED = (
    ("dotnet-8.0.4-linux-x64", "8.0.4 linux-x64"),
    ("sarif-5.7.0-linux", "8.0.30 linux-x64"),
    ("azmcp-0.5.0-linux-x64", "9.0.5 linux-x64"),
    ("azmcp-2.0.5-linux-x64", "10.0.9 linux-x64"),
)
NEAREST = {9: 8}
"""Versions without a build that has symbols, to the version whose locks are the same: all four points agree there, too."""


class Site(NamedTuple):
    """One call that makes a static Crst. Addresses as linked, from the image's start."""

    address: int
    flags: int
    function: int
    offset: int
    """Of the call's first instruction in its function, bytes."""
    name: str = ""
    private: bool = False


@dataclass(frozen=True)
class Build:
    label: str
    build_id: str
    code: bytes
    start: int
    memory: BytesMemory
    symbols: Tuple[Tuple[int, str, bool], ...] = ()
    """(address, name, private to one source file), sorted; of Mach-O only."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", nargs=2, metavar=("FILE", "LABEL"), action="append", default=[])
    options = parser.parse_args()
    references = {}
    for key, major, label in REFERENCES:
        build = read_macho(_module(packages.fetch(key)), label)
        references[major] = (label, sites(build))
    told = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    stripped = [(_module(packages.fetch(key)), label) for key, label in STRIPPED]
    for file, label in [*stripped, *((Path(file), label) for file, label in options.image)]:
        build = read_elf(file, label)
        major = int(label.split(".")[0])
        source, named = references[NEAREST.get(major, major)]
        locks = align(named, sites(build), EXTRA.get(NEAREST.get(major, major)))
        told[build.build_id] = {
            "runtime": label,
            "beside": source,
            "locks": {lock.name: [f"0x{lock.address:x}", lock.flags] for lock in locks},
        }
        print(f"{label}: {len(locks)} locks", file=sys.stderr)
    text = json.dumps(dict(sorted(told.items(), key=lambda row: str(row[1]["runtime"]))), indent=1)
    text = re.sub(r"\[\s+(\S+)\s+(\d+)\s+\]", r"[\1 \2]", text)
    TABLE.write_text(text + "\n", encoding="utf-8")
    return 0


def align(named: Sequence[Site], other: Sequence[Site], extra: Optional[Tuple[str, str]]) -> List[Site]:
    """`other` with the names of the build beside it. Raises SystemExit with the point that does not agree."""
    rows = list(named)
    if extra is not None and len(other) == len(rows) + 1:
        place = 1 + next(i for i, row in enumerate(rows) if row.name == extra[0])
        rows.insert(place, replace_site(other[place], name=extra[1]))
    if len(rows) != len(other):
        raise SystemExit(f"{len(rows)} locks with names, {len(other)} without")
    for known, one in zip(rows, other):
        if known.flags != one.flags and known.name not in CHANGED:
            raise SystemExit(f"{known.name}: flags {known.flags} and {one.flags}")
        if abs(known.offset - one.offset) > SLACK:
            raise SystemExit(f"{known.name}: made at +0x{known.offset:x} and at +0x{one.offset:x}")
    if _partition(rows) != _partition(other):
        raise SystemExit("other locks are made together in one function")
    public = [i for i, row in enumerate(rows) if not row.private and row.name not in CHANGED]
    if _order([rows[i] for i in public]) != _order([other[i] for i in public]):
        raise SystemExit("their addresses are in another order")
    return [replace_site(one, name=known.name) for known, one in zip(rows, other)]


def replace_site(site: Site, name: str) -> Site:
    return site._replace(name=name)


def _partition(rows: Sequence[Site]) -> List[int]:
    seen: Dict[int, int] = {}
    return [seen.setdefault(row.function, len(seen)) for row in rows]


def _order(rows: Sequence[Site]) -> List[int]:
    return sorted(range(len(rows)), key=lambda i: rows[i].address)


def sites(build: Build) -> List[Site]:
    """Every call of InitWorker with a constant address, in the order of the code."""
    calls: Dict[int, List[Tuple[int, int, int]]] = defaultdict(list)
    flags: Dict[int, Set[int]] = defaultdict(set)
    for at, address, flag, target in _calls(build):
        calls[target].append((at, address, flag))
        flags[target].add(flag)
    workers = [target for target, seen in flags.items() if seen >= TELLING]
    if len(workers) != 1:
        raise SystemExit(f"{build.label}: {len(workers)} functions look like CrstBase::InitWorker")
    frames = EhFrames(build.memory)
    starts = [at for at, _, _ in build.symbols]
    found = []
    for at, address, flag in calls[workers[0]]:
        name, private = "", False
        if build.symbols:
            function = starts[bisect.bisect_right(starts, at) - 1]
            row = bisect.bisect_right(starts, address) - 1
            base, name, private = build.symbols[row]
            name = plain(readable(re.sub(r"^_ZL\d+", "", name))) + (f"+0x{address - base:x}" if address != base else "")
            name = MEMBERS.get(name, name)
        else:
            fde = frames.fde(0, at)
            if fde is None:
                raise SystemExit(f"{build.label}: no function at 0x{at:x}")
            function = fde.start
        found.append(Site(address, flag, function, at - function, name, private))
    return found


def _calls(build: Build) -> Iterator[Tuple[int, int, int, int]]:
    """(place, address in rdi, number in esi, callee) of `lea rdi, [rip+x]; mov esi, y; call z`, in either order."""
    for match in re.finditer(rb"\x48\x8d\x3d(....)", build.code, re.DOTALL):
        at = match.start()
        address = build.start + at + 7 + struct.unpack("<i", match.group(1))[0]
        head, tail = build.code[max(0, at - 5) : at], build.code[at + 7 : at + 7 + 10]
        flag = _esi(head[-2:]) if _esi(head[-2:]) is not None else _esi(head)
        skip = next((n for n in (2, 5) if _esi(tail[:n]) is not None), 0)
        flag = _esi(tail[:skip]) if skip else flag
        if flag is not None and tail[skip : skip + 1] in (b"\xe8", b"\xe9"):
            (distance,) = struct.unpack_from("<i", tail, skip + 1)
            yield build.start + at, address, flag, build.start + at + 7 + skip + 5 + distance


def _esi(code: bytes) -> Optional[int]:
    if code == b"\x31\xf6":
        return 0
    return struct.unpack("<I", code[1:])[0] if len(code) == 5 and code[0] == 0xBE else None


def read_elf(path: Path, label: str) -> Build:
    data = path.read_bytes()
    rows = elf.program_headers(lambda offset, size: data[offset : offset + size]) or []
    loads = [row for row in rows if row.kind == elf.PT_LOAD]
    memory = BytesMemory([(row.address, data[row.offset : row.offset + row.file_size]) for row in loads])
    code = next(row for row in loads if row.flags & 1)
    identity = memory_build_id(memory, 0)
    if identity is None:
        raise SystemExit(f"{path.name} has no build-id")
    return Build(label, identity, memory.read(code.address, code.file_size) or b"", code.address, memory)


def read_macho(path: Path, label: str) -> Build:
    data = path.read_bytes()
    header = macho.header(lambda offset, size: data[offset : offset + size])
    if header is None:
        raise SystemExit(f"{path.name} is no Mach-O image")
    segments = macho.segments(header)
    base = next(s.address for s in segments if s.name == "__TEXT")
    memory = BytesMemory([(s.address - base, data[s.offset : s.offset + s.file_size]) for s in segments if s.file_size])
    text = next(s for s in segments if s.name == "__TEXT")
    symbols = tuple(sorted(_symbols(data, header, base)))
    return Build(label, "", data[text.offset : text.offset + text.file_size], 0, memory, symbols)


def _symbols(data: bytes, header: macho.Header, base: int) -> Iterator[Tuple[int, str, bool]]:
    """nlist_64 rows of sections (mach-o/nlist.h); a C++ name that begins with _ZL is private to its source file."""
    table = next(body for kind, body in header.commands if kind == 2)  # LC_SYMTAB
    offset, count, strings, _ = struct.unpack_from("<4I", table, 8)
    for index in range(count):
        name_at, kind, _, _, value = struct.unpack_from("<IBBHQ", data, offset + 16 * index)
        if kind & 0xE0 or kind & 0x0E != 0x0E:
            continue
        end = data.index(b"\0", strings + name_at)
        name = data[strings + name_at + 1 : end].decode("ascii", "replace")
        yield value - base, name, name.startswith("_ZL")


def _module(folder: Path) -> Path:
    names = ("libcoreclr.so", "azmcp", "Sarif.Multitool")
    return next(path for name in names for path in sorted(folder.rglob(name)) if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
