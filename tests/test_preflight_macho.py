"""Mach-O cores: thread ids, images and everything that must be refused before lldb sees it."""

from __future__ import annotations

import json
from pathlib import Path
from struct import pack
from typing import List, Optional, Tuple

import pytest
from macholib.MachO import MachO

from dumpwalk import limits
from dumpwalk.core.corefile import CoreFile
from dumpwalk.core.memory import FileMemory
from dumpwalk.dump.preflight import open_core, opened_core
from dumpwalk.errors import MalformedCore, NotACore
from tests import elfwriter
from tests import machowriter as w

REAL = sorted((Path(__file__).parent.parent / "fixtures" / "cores" / "macho").glob("*.core.xz"))
LOW, HIGH = 0x7FFFFFF00000, 0x7FFFFFFF00000000
STACK = w.Region(0x7000_0000_0000, bytes(0x4000))
SPS = [0x7000_0000_1800, 0x7000_0000_2900, 0x7000_0000_3A00]


def opened(folder: Path, data: bytes) -> CoreFile:
    return open_core(elfwriter.write(folder, data))


def three(info: Optional[Tuple[int, bytes]] = None, **more: object) -> bytes:
    regions = [STACK, *([w.Region(info[0], info[1], 1)] if info else [])]
    return w.core([w.thread_x64(sp) for sp in SPS], regions, **more)  # type: ignore[arg-type]


def ids(core: CoreFile) -> List[Tuple[Optional[int], str]]:
    return [(t.tid, t.tid_source) for t in core.threads]


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.name[:-8])
def test_written_incidents_against_truth_and_macholib(path: Path) -> None:
    truth = json.loads(path.with_name(path.name.replace(".core.xz", ".truth.json")).read_text())
    with opened_core(str(path)) as core:
        assert (core.format, core.os, core.producer) == ("mach-o", "macos", "createdump")
        assert core.arch == {"arm64": "aarch64"}.get(truth["arch"], truth["arch"]) and core.kind == truth["dump_kind"]
        assert [t.tid for t in core.threads] == truth["tids"] or [t.tid for t in core.threads] == [
            tid & 0xFFFFFFFF for tid in truth["tids"]
        ]
        wanted = "os" if truth["special"]["process_metadata_note"] else "createdump"
        assert {t.tid_source for t in core.threads} == {wanted}
        assert core.pid == truth["pid"]
        assert core.runtime_base in (None, int(truth["runtime"]["base"], 16))
        images = {i.path: i for i in core.images}
        for told in truth["images"]:
            assert images[told["path"]].base == int(told["load_address"], 16)
        module = images[truth["module"]["path_in_core"]]
        assert module.build_id == truth["module"]["uuid"].replace("-", "").lower()
        assert "/usr/lib/dyld" in images and all(i.end and i.build_id for i in core.images)
        header = MachO(core.file).headers[0]
        assert sum(c[0].cmd == 4 for c in header.commands) == len(core.threads)
        segments = [c[1] for c in header.commands if c[0].cmd == 0x19]
        assert [(s.start, s.end, s.offset) for s in core.segments] == sorted(
            (int(s.vmaddr), int(s.vmaddr + s.vmsize), int(s.fileoff)) for s in segments
        )
        spinner = truth.get("spinner")
        if spinner:
            thread = core.threads[spinner["index"] - 1]
            pc = thread.registers["rip" if core.arch == "x86_64" else "pc"]
            assert pc == int(spinner["pc"], 16) and thread.registers[spinner["cursor_register"]] == int(
                spinner["cursor"], 16
            )


@pytest.mark.parametrize("address", [LOW, HIGH])
def test_thread_ids_by_stack_pointer_not_by_order(tmp_path: Path, address: int) -> None:
    rows = [(0x1_0000_0303, SPS[2]), (0x101, SPS[0]), (0x202, SPS[1])]
    core = opened(tmp_path, three((address, w.threadinfo(44, rows))))
    assert ids(core) == [(0x101, "createdump"), (0x202, "createdump"), (0x303, "createdump")]
    assert core.pid == 44 and core.producer == "createdump" and core.notes[0].startswith("the dump has no list")


def test_thread_ids_by_order_where_the_stack_pointer_fits_none(tmp_path: Path) -> None:
    rows = [(1, SPS[0]), (2, 0xDEAD), (3, SPS[2])]
    assert ids(opened(tmp_path, three((LOW, w.threadinfo(44, rows))))) == [(n, "createdump") for n in (1, 2, 3)]


def test_no_id_is_guessed_when_the_lists_differ(tmp_path: Path) -> None:
    rows = [(1, SPS[0]), (2, 0xDEAD), (3, SPS[2]), (4, 0xBEEF)]
    core = opened(tmp_path, three((LOW, w.threadinfo(44, rows))))
    assert ids(core) == [(1, "createdump"), (1, "synthetic"), (3, "createdump")]
    assert any("thread ids of 1 of 3" in n for n in core.notes)


def test_equal_stack_pointers_are_told_apart_by_position(tmp_path: Path) -> None:
    data = w.core(
        [w.thread_x64(SPS[0]), w.thread_x64(SPS[0])],
        [STACK, w.Region(LOW, w.threadinfo(1, [(7, SPS[0]), (8, SPS[0])]), 1)],
    )
    assert ids(opened(tmp_path, data)) == [(7, "createdump"), (8, "createdump")]


def test_cut_or_lying_threadinfo(tmp_path: Path) -> None:
    core = opened(tmp_path, three((LOW, w.threadinfo(44, [(1, SPS[0])], count=0xFFFFFFFF))))
    assert ids(core)[0] == (1, "createdump") and any("thread ids is cut" in n for n in core.notes)
    wrong = opened(tmp_path, three((LOW, b"THREADINFX".ljust(24, b"\0"))))
    assert {s for _, s in ids(wrong)} == {"synthetic"}


def test_process_metadata(tmp_path: Path) -> None:
    big = [2**40 + n for n in (1, 2, 3)]
    note = (b"process metadata", json.dumps({"threads": [{"thread_id": n} for n in big]}).encode() + b"\0")
    assert ids(opened(tmp_path, three(notes=[note]))) == [(n, "os") for n in big]
    agreeing = (LOW, w.threadinfo(5, list(zip(big, SPS))))
    assert ids(opened(tmp_path, three(agreeing, notes=[note]))) == [(n, "os") for n in big]
    other = (LOW, w.threadinfo(5, list(zip((10, 20, 30), SPS))))
    core = opened(tmp_path, three(other, notes=[note]))
    assert ids(core) == [(n, "createdump") for n in (10, 20, 30)]
    assert any("contradicts" in n for n in core.notes)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'{"threads": 3}', b'{"threads": [1,2,3]}', b'{"threads": [{"thread_id": true}]}',
     b'{"threads": [{"thread_id": -1},{},{}]}', b"[" * 100_000, b"\xff\xfe"],
)  # fmt: skip
def test_metadata_that_makes_no_sense_is_not_used(tmp_path: Path, text: bytes) -> None:
    core = opened(tmp_path, three(notes=[(b"process metadata", text)]))
    assert ids(core) == [(0, "synthetic"), (1, "synthetic"), (2, "synthetic")]


@pytest.mark.parametrize("address", [0x7FFFFFFF10000000, 0x7FFFFFF10000])
def test_diaginfo_at_both_addresses(tmp_path: Path, address: int) -> None:
    core = opened(tmp_path, three((address, w.diaginfo(0x1_0000_0000))))
    assert core.runtime_base == 0x1_0000_0000 and core.producer == "createdump"
    crashed = opened(tmp_path, three((address, w.diaginfo(0x1_0000_0000, record=0x7000))))
    assert any("made by a crash" in n for n in crashed.notes)


def test_arm64_threads_and_pac(tmp_path: Path) -> None:
    signed = 0x00AB_0001_2345_6780
    core = opened(tmp_path, w.core([w.thread_arm64(SPS[0], lr=signed)], [STACK], machine=w.ARM64))
    registers = core.threads[0].registers
    assert registers["sp"] == SPS[0] and registers["lr"] == signed, "registers are as the file has them"
    assert signed & ~core.pac_mask == 0x0001_2345_6780 and registers["cpsr"] == 0x60000000


def dyld_world(listed: bool = True) -> List[w.Region]:
    """dyld at 0x9000000000, a program at 0x100000000, a library of the shared cache, and the list of all three."""
    program, library, dyld = 0x1_0000_0000, 0x7FF8_0000_0000, 0x90_0000_0000
    data = bytearray(0x1000)
    data[0x100:0x114] = pack("<LLQL", 17, 2, dyld + 0x100400, 0)
    data[0x100 + 32 : 0x100 + 40] = pack("<Q", dyld)
    data[0x100 + 192 : 0x100 + 200] = pack("<Q", dyld + 0x100600)
    rows = [(library, dyld + 0x100500), (program, dyld + 0x100580)]
    data[0x400 : 0x400 + 48] = b"".join(pack("<QQQ", base, path, 0) for base, path in rows)
    for at, text in ((0x500, b"/usr/lib/libz.dylib"), (0x580, b"/app/prog"), (0x600, b"/usr/lib/dyld")):
        data[at : at + len(text)] = text
    info = 0x100100 if listed else None
    return [
        w.Region(program, w.image(2, b"P" * 16, text=0x1_0000_0000, data=0x1_0010_0000), 5),
        w.Region(library, w.image(6, b"L" * 16, name=b"/usr/lib/libz.dylib", flags=0x80000000), 5),
        w.Region(dyld, w.image(7, b"D" * 16, name=b"/usr/lib/dyld", info=info), 5),
        w.Region(dyld + 0x100000, bytes(data), 3),
    ]


def test_images_of_dyld_s_list(tmp_path: Path) -> None:
    core = opened(tmp_path, w.core([w.thread_x64(SPS[0])], [STACK, *dyld_world()]))
    assert [(i.path, i.base, i.end, i.build_id) for i in core.images] == [
        ("/app/prog", 0x1_0000_0000, 0x1_0010_1000, "50" * 16),
        ("/usr/lib/dyld", 0x90_0000_0000, 0x90_0010_1000, "44" * 16),
        ("/usr/lib/libz.dylib", 0x7FF8_0000_0000, 0x7FF8_0000_2000, "4c" * 16),
    ]
    assert core.process_name == "prog" and core.kind == "full"


def test_images_by_header_scan_without_dyld(tmp_path: Path) -> None:
    stack = bytearray(0x4000)
    stack[0x3F00:0x3F20] = b"executable_path=/Users/x/bin/app"
    regions = [w.Region(STACK.start, bytes(stack)), *dyld_world(listed=False)]
    inner = w.Region(0x5000_0000, bytes(0x3000) + w.image(6, b"I" * 16, name=b"@rpath/inner.dylib"), 5)
    core = opened(tmp_path, w.core([w.thread_x64(SPS[0])], [*regions, inner]))
    found = {i.base: i.path for i in core.images}
    assert found[0x1_0000_0000] == "/Users/x/bin/app" and core.process_name == "app"
    assert found[0x5000_3000] == "@rpath/inner.dylib" and found[0x90_0000_0000] == "/usr/lib/dyld"
    assert any("looked for by their headers" in n for n in core.notes)


def test_header_scan_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEADER_SCAN_PAGES", 2)
    far = w.Region(0x5000_0000, bytes(0x8000) + w.image(6, b"I" * 16, name=b"x"), 5)
    assert opened(tmp_path, w.core([w.thread_x64(SPS[0])], [STACK, far])).images == ()


def test_dyld_list_that_lies(tmp_path: Path) -> None:
    regions = dyld_world()
    for position, value in ((0x104, 0xFFFFFFFF), (0x108, 0xDEAD000), (0x100, 0)):
        data = bytearray(regions[3].data)
        data[position : position + 4] = pack("<L", value)
        core = opened(
            tmp_path, w.core([w.thread_x64(SPS[0])], [STACK, *regions[:3], w.Region(regions[3].start, bytes(data))])
        )
        assert {i.base for i in core.images} >= {0x1_0000_0000, 0x90_0000_0000}
    data = bytearray(regions[3].data)
    data[0x408:0x410] = pack("<Q", 0x1234)  # the path of one image
    core = opened(
        tmp_path, w.core([w.thread_x64(SPS[0])], [STACK, *regions[:3], w.Region(regions[3].start, bytes(data))])
    )
    assert [i.path for i in core.images if i.base == 0x7FF8_0000_0000] == ["(unnamed image)"]


def test_truncated(tmp_path: Path) -> None:
    whole = three((LOW, w.threadinfo(44, list(zip((1, 2, 3), SPS)))))
    core = opened(tmp_path, whole[:-0x2000])
    assert core.truncated and core.missing_bytes == 0x2000 and len(core.threads) == 3
    assert {s for _, s in ids(core)} == {"synthetic"}
    assert FileMemory(core.file, core.segments).read(STACK.start, 16) is not None
    for size in (8, 31, 32, 1000):
        with pytest.raises(MalformedCore, match="cut"):
            opened(tmp_path, whole[:size])


SEGMENT = w.command(0x19, bytes(16) + pack("<QQQQllLL", 0x1000, 0x1000, 0, 0x1000, 7, 3, 0, 0))


@pytest.mark.parametrize(
    "data, words",
    [
        (three(machine=(0x01000099, 3)), "unknown processor"),
        (three(machine=(0x01000007, 77)), "unknown processor"),
        (three(machine=(7, 3)), "unknown processor"),
        (three(ncmds=0x7FFFFFFF), "load commands"),
        (three(ncmds=300_000, sizeofcmds=0x10000000), "load commands"),
        (three(sizeofcmds=0xFFFFFFF0), "which cannot be"),
        (three(sizeofcmds=16), "which cannot be"),
        (three(ncmds=6), "outside of its headers"),
        (three(extra=[w.command(0x19, bytes(8))]), "segment command of 16 bytes"),
        (three(extra=[w.command(0x19, bytes(64), size=4)]), "claims 4 bytes"),
        (three(extra=[w.command(0x19, bytes(64), size=0)]), "claims 0 bytes"),
        (three(extra=[w.command(0x19, bytes(64), size=0x10000)]), "claims 65536 bytes"),
        (three(extra=[w.command(0x19, bytes(67))]), "claims 75 bytes"),
        (w.core([w.thread_x64(1)], [STACK, w.Region(0x1000, b"x" * 16, 3, 1 << 40)]), "claim"),
        (w.core([w.thread_x64(1)], [w.Region(n << 32, b"x", 3, 600 << 20) for n in range(1, 3)]), "claim"),
        (w.core([w.thread_x64(1)], [w.Region((1 << 64) - 0x1000, b"x", 3, 0x2000)]), "absurd size"),
        (w.core([], [STACK]), "without a thread"),
        (w.core([w.command(4, pack("<LL", 99, 2) + bytes(8))], [STACK]), "without a thread"),
        (w.core([w.command(4, pack("<LL", 4, 0x10000000) + bytes(8))], [STACK]), "claims 268435456 words"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_refused_before_lldb_sees_it(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(MalformedCore, match=words):
        opened(tmp_path, data)


def test_other_mach_o_files(tmp_path: Path) -> None:
    for filetype, words in ((2, "executable"), (6, "dynamic library"), (10, "dSYM"), (99, "Mach-O file")):
        with pytest.raises(NotACore, match=words):
            opened(tmp_path, three(filetype=filetype))


def test_mini_and_heap(tmp_path: Path) -> None:
    low = w.Region(0x7000_0000_1000, bytes(0x1000))
    assert opened(tmp_path, w.core([w.thread_x64(SPS[0])], [low])).kind == "mini"
    assert opened(tmp_path, w.core([w.thread_x64(SPS[0])], [STACK])).kind == "heap"


def test_ten_thousand_threads(tmp_path: Path) -> None:
    threads = [w.thread_x64(STACK.start + n, rip=n) for n in range(10_000)]
    info = w.threadinfo(9, [(5_000_000 + n, STACK.start + n) for n in range(10_000)])
    core = opened(tmp_path, w.core(threads, [STACK, w.Region(HIGH, info, 1)]))
    assert [t.tid for t in core.threads] == list(range(5_000_000, 5_010_000))
