"""Seeded mutations of small cores: a CoreFile or a DumpwalkError comes out, and nothing else ever does.

What comes out keeps the promises that the rest relies on: segments in order, bytes inside of the file, ids that fit.
"""

from __future__ import annotations

import random
import resource
from pathlib import Path
from struct import pack

import pytest

from dumpwalk import limits
from dumpwalk.core.memory import FileMemory
from dumpwalk.dump.preflight import open_core
from dumpwalk.errors import DumpwalkError, MalformedCore, NotACore
from tests import elfwriter, machowriter
from tests.test_preflight_macho import SPS, STACK, dyld_world

ELF_FILES = elfwriter.nt_file((0x400000, 0x402000, 0, b"/app/prog"), (0x500000, 0x501000, 0, b"/lib/x.so"))
ELF = elfwriter.createdump(
    tids=range(100, 104),
    files=ELF_FILES,
    loads=[
        elfwriter.Load(0x400000, elfwriter.image(), flags="rx"),
        elfwriter.Load(0x7FFFFFF10000, machowriter.diaginfo(0x400000), flags="r"),
        *elfwriter.stacks(4),
    ],
    extra=elfwriter.siginfo(11, 1),
)
ELF_HEADERS = 64 + 7 * 56 + 3000
MACHO = machowriter.core(
    [machowriter.thread_x64(sp) for sp in SPS],
    [
        STACK,
        *dyld_world(),
        machowriter.Region(0x7FFFFFFF10000000, machowriter.diaginfo(0x1_0000_0000), 1),
        machowriter.Region(0x7FFFFFF00000, machowriter.threadinfo(7, list(zip((1, 2, 3), SPS))), 1),
    ],
    notes=[(b"process metadata", b'{"threads": [{"thread_id": 1}, {"thread_id": 2}, {"thread_id": 3}]}')],
)
INTERESTING = (
    0,
    1,
    7,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
    (1 << 64) - 1,
)


def mutate(rng: random.Random, data: bytes, headers: int) -> bytes:
    """One to six faults, most of them where the structure is."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        reach = headers if rng.random() < 0.8 else len(out)
        at = rng.randrange(min(reach, len(out)))
        choice = rng.random()
        if choice < 0.35:
            out[at] ^= 1 << rng.randrange(8)
        elif choice < 0.75:
            size = rng.choice((1, 2, 4, 8))
            at -= at % size
            value = rng.choice(INTERESTING) if rng.random() < 0.7 else rng.getrandbits(64)
            out[at : at + size] = pack("<Q", value)[:size]
        elif choice < 0.85:
            other = rng.randrange(min(reach, len(out)))
            out[at : at + 32] = out[other : other + 32]
        elif choice < 0.92:
            del out[at : at + rng.choice((1, 4, 8, 56, 72))]
        else:
            del out[max(8, rng.randrange(len(out))) :]
    return bytes(out)


def promises(path: str) -> str:
    """What came of the file, after checking it."""
    try:
        core = open_core(path)
    except DumpwalkError as error:
        sentence = error.sentence()
        assert "\n" not in sentence and path in str(error) and isinstance(error, (MalformedCore, NotACore))
        return error.kind
    size = Path(path).stat().st_size
    end = 0
    for segment in core.segments:
        assert end <= segment.start < segment.end <= 1 << 64
        end = segment.end
        assert 0 <= segment.file_size <= segment.end - segment.start
        assert not segment.file_size or segment.offset + segment.file_size <= size
    assert 0 < len(core.threads) <= limits.THREADS
    assert core.missing_bytes >= 0 and (not core.missing_bytes or core.truncated)
    assert len(core.images) <= limits.IMAGES
    for image in core.images:
        assert image.end is None or image.end > image.base or core.format == "mach-o"
    memory = FileMemory(core.file, core.segments)
    for segment in core.segments[:20]:
        assert memory.read(segment.start, 1) is not None or not segment.file_size
        memory.read(segment.end - 1, 16)
    memory.close()
    return "core"


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("name", ["elf", "mach-o"])
def test_mutated_cores(tmp_path: Path, name: str, part: int) -> None:
    data, headers = (ELF, ELF_HEADERS) if name == "elf" else (MACHO, 4000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = {"core": 0}
    for number in range(150):
        rng = random.Random(f"{name} {part} {number}")
        path = elfwriter.write(tmp_path, mutate(rng, data, headers))
        result = promises(path)
        outcomes[result] = outcomes.get(result, 0) + 1
    assert outcomes["core"] > 20 and len(outcomes) > 1, f"the mutations must reach both sides: {outcomes}"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300 << 10, "KiB; no claim of the file may make the reader hold that much"


@pytest.mark.parametrize("name", ["elf", "mach-o"])
def test_every_prefix_of_the_headers(tmp_path: Path, name: str) -> None:
    data = ELF if name == "elf" else MACHO
    for size in [*range(1, 200, 7), *range(200, len(data), len(data) // 40)]:
        promises(elfwriter.write(tmp_path, data[:size]))


def test_the_unmutated_ones_are_fine(tmp_path: Path) -> None:
    for data in (ELF, MACHO):
        core = open_core(elfwriter.write(tmp_path, data))
        assert core.runtime_base and core.images and len(core.threads) in (3, 4) and not core.truncated
