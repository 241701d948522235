"""ELF cores: what the reader says of synthetic and real ones, against pyelftools and the truth files."""

from __future__ import annotations

import json
from pathlib import Path
from struct import pack
from typing import Dict, List, Optional, Tuple

import pytest
from elftools.elf.elffile import ELFFile

from dumpwalk import limits
from dumpwalk.core.corefile import CoreFile
from dumpwalk.core.memory import FileMemory
from dumpwalk.dump.preflight import open_core, opened_core
from dumpwalk.errors import MalformedCore, NotACore
from tests import elfwriter as w

CORES = Path(__file__).parent.parent / "fixtures" / "cores"
REAL = sorted(p for p in CORES.glob("*.core.xz"))


def opened(folder: Path, data: bytes) -> CoreFile:
    return open_core(w.write(folder, data))


def kernel(signal: int = 11, code: int = 1, sender: int = 0, tids: Tuple[int, ...] = (50, 51)) -> bytes:
    """fs/binfmt_elf.c: the thread that died first, the process behind its registers."""
    notes = w.prstatus(tids[0], {"rsp": 0x7FFF00001800}, signal) + w.prpsinfo(50, b"prog")
    notes += w.siginfo(signal, code, sender) + w.auxv() + w.nt_file() + w.fpregset()
    for tid in tids[1:]:
        notes += w.prstatus(tid, {"rsp": 0x7FFF00011800}) + w.fpregset()
    return w.core(notes, w.stacks(2))


def gcore(signal: int, code: int) -> bytes:
    """gdb linux-tdep.c: process, threads each with a siginfo, then the vectors of the process."""
    notes = w.prpsinfo(70, b"prog")
    for index, tid in enumerate((70, 71)):
        notes += w.prstatus(tid, {"rsp": 0x7FFF00001800 + (index << 16)}, 0) + w.fpregset()
        notes += w.siginfo(signal if index == 0 else 19, code)
    return w.core(
        notes + w.auxv() + w.nt_file() + w.note(b"GDB", 0xFF000000, b"<target/>"), w.stacks(2), notes_last=True
    )


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.name[:-8])
def test_real_cores_as_pyelftools_reads_them(path: Path) -> None:
    with opened_core(str(path)) as core, open(core.file, "rb") as stream:
        elf = ELFFile(stream)
        loads = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_memsz"]]
        assert [(s.start, s.end, s.offset, s.file_size) for s in core.segments] == sorted(
            (s["p_vaddr"], s["p_vaddr"] + s["p_memsz"], s["p_offset"], min(s["p_filesz"], s["p_memsz"])) for s in loads
        )
        tids: List[int] = []
        files: List[Tuple[int, str]] = []
        for segment in elf.iter_segments("PT_NOTE"):
            for note in segment.iter_notes():
                if note["n_type"] == "NT_PRSTATUS" and note["n_name"] == "CORE":
                    raw = note["n_desc"] if isinstance(note["n_desc"], bytes) else note["n_descdata"]
                    tids.append(int.from_bytes(raw[32:36], "little"))
                    assert core.threads[len(tids) - 1].registers["rip"] == int.from_bytes(raw[240:248], "little")
                elif note["n_type"] == "NT_FILE":
                    desc = note["n_desc"]
                    for entry, name in zip(desc["Elf_Nt_File_Entry"], desc["filename"]):
                        if entry["page_offset"] == 0:
                            files.append((entry["vm_start"], name.decode()))
                elif note["n_type"] == "NT_PRPSINFO":
                    assert core.pid == note["n_desc"]["pr_pid"]
        assert [t.tid for t in core.threads] == tids and len(tids) > 1
        assert {(i.base, i.path) for i in core.images if i.path != "[vdso]"} <= set(files)
        assert not core.truncated and core.missing_bytes == 0 and core.os == "linux"


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.name[:-8])
def test_real_cores_against_their_truth(path: Path) -> None:
    truth = json.loads(path.with_name(path.name.replace(".core.xz", ".truth.json")).read_text())
    name = truth["name"]
    with opened_core(str(path)) as core:
        assert core.pid == truth["pid"]
        tids = [t.tid for t in core.threads]
        for known in (truth.get("spinner_tid"), truth.get("suspending_tid")):
            assert known is None or known in tids
        assert core.producer == truth["dump"]["producer"]
        assert core.kind == ("mini" if name.endswith("normal") else "heap")
        assert core.crash_signal is None, "all of them were dumped on purpose"


def test_images_with_build_ids_of_a_real_core() -> None:
    with opened_core(str(CORES / "hang-self.core.xz")) as core:
        images = {i.path.rsplit("/", 1)[-1]: i for i in core.images}
        assert images["libcoreclr.so"].build_id == "36bd3359438fe9298922298fa1be6f2b97c99c21"
        assert images["[vdso]"].build_id
        for image in core.images:
            assert image.end and image.end > image.base


@pytest.mark.parametrize("below, kind", [(True, "heap"), (False, "mini")])
def test_createdump_kinds(tmp_path: Path, below: bool, kind: str) -> None:
    core = opened(tmp_path, w.createdump(loads=w.stacks(2, below=below), signal=6))
    assert (core.producer, core.kind, core.pid, core.process_name) == ("createdump", kind, 100, "dotnet")
    assert [(t.tid, t.tid_source, t.registers["orig_rax"]) for t in core.threads] == [
        (100, "os", 202),
        (101, "os", 202),
    ]
    assert core.crash_thread is None and core.crash_signal is None, "3.1 says SIGABRT of every thread"


def test_full_when_mapped_files_are_in(tmp_path: Path) -> None:
    files = w.nt_file((0x400000, 0x402000, 0, b"/app/prog"))
    whole = w.createdump(loads=[w.Load(0x400000, w.image(), flags="rx"), *w.stacks(2)], files=files)
    page = w.createdump(loads=[w.Load(0x400000, w.image()[:0x400], 0x2000, "rx"), *w.stacks(2)], files=files)
    assert opened(tmp_path, whole).kind == "full"
    assert opened(tmp_path, page).kind == "heap"


def test_without_a_stack_the_kind_is_unknown(tmp_path: Path) -> None:
    assert opened(tmp_path, w.createdump(loads=[w.Load(0x1000, b"x" * 4096)])).kind == "unknown"


def test_diaginfo_gives_runtime_base_and_crash(tmp_path: Path) -> None:
    def info(record: int, base: int, version: int) -> w.Load:
        return w.Load(
            0x7FFFFFF10000, b"DIAGINFOHEADER\0\0" + pack("<iiQQ", version, -1, record, base) + bytes(4056), flags="r"
        )

    quiet = opened(tmp_path, w.createdump(loads=[*w.stacks(2), info(0, 0x7F0000000000, 2)]))
    assert quiet.runtime_base == 0x7F0000000000 and quiet.notes == ()
    crashed = opened(tmp_path, w.createdump(loads=[*w.stacks(2), info(0x7FFF00000040, 0x7F0000000000, 2)]))
    assert any("made by a crash" in n for n in crashed.notes) and crashed.crash_signal is None, "of an unknown kind"
    record = w.Load(0x500000, pack("<II", 0xE0434352, 1) + bytes(144))
    managed = opened(tmp_path, w.createdump(loads=[record, *w.stacks(2), info(0x500000, 0x7F0000000000, 2)]))
    assert managed.crash_signal == 6 and any("unhandled managed exception" in n for n in managed.notes)
    old = opened(tmp_path, w.createdump(loads=[*w.stacks(2), info(0, 0x7F0000000000, 1)]))
    assert old.runtime_base is None, "version 1 has no such field"
    odd_order = w.core(w.prstatus(5, {}) + w.prstatus(6, {}), [info(0, 0, 2)])
    assert opened(tmp_path, odd_order).producer == "createdump"


def test_createdump_siginfo_names_the_thread_that_crashed(tmp_path: Path) -> None:
    core = opened(tmp_path, w.createdump(loads=w.stacks(2), extra=w.siginfo(11, 1)))
    assert (core.crash_thread, core.crash_signal) == (101, 11)
    sent = opened(tmp_path, w.createdump(loads=w.stacks(2), extra=w.siginfo(6, 0, 999)))
    assert sent.crash_signal is None


@pytest.mark.parametrize(
    "signal, code, sender, expected",
    [
        (11, 1, 0, (50, 11)),  # SEGV_MAPERR
        (6, -6, 50, (50, 6)),  # abort(): tgkill to itself
        (6, 0, 50, (50, 6)),  # kill(getpid())
        (6, 0, 999, (None, None)),  # kill -ABRT from a watchdog
        (3, 0x80, 0, (50, 3)),  # SI_KERNEL: the terminal's quit key
    ],
)
def test_kernel_tells_a_crash_from_a_signal_sent(
    tmp_path: Path, signal: int, code: int, sender: int, expected: Tuple[Optional[int], Optional[int]]
) -> None:
    core = opened(tmp_path, kernel(signal, code, sender))
    assert core.producer == "kernel"
    assert (core.crash_thread, core.crash_signal) == expected
    assert any("kernel wrote this core" in n for n in core.notes)


def test_gcore_running_and_stopped_at_a_fault(tmp_path: Path) -> None:
    running, stopped = opened(tmp_path, gcore(19, 0x80)), opened(tmp_path, gcore(11, 1))
    assert running.producer == stopped.producer == "gcore"
    assert running.crash_signal is None
    assert (stopped.crash_thread, stopped.crash_signal) == (70, 11)


def test_unknown_writer_stays_unknown(tmp_path: Path) -> None:
    core = opened(tmp_path, w.core(w.prstatus(5, {"rsp": 0x7FFF00001800}), w.stacks(1)))
    assert core.producer == "unknown" and core.pid is None


def test_arm64_registers_and_pac_mask(tmp_path: Path) -> None:
    values = {"x0": 1, "x28": 28, "fp": 29, "lr": 30, "sp": 0x7FFF00001800, "pc": 33}
    notes = w.prstatus(9, values, arm=True) + w.note(b"LINUX", 0x406, pack("<QQ", 1, 0x007F000000000000))
    core = opened(tmp_path, w.core(notes, w.stacks(1), machine=183))
    assert core.arch == "aarch64" and core.pac_mask == 0x007F000000000000
    assert {k: v for k, v in core.threads[0].registers.items() if v} == values


def test_images_are_runs_of_mappings_that_begin_a_file(tmp_path: Path) -> None:
    library, data = w.image(bytes(range(20))), b"not code" * 512
    files = w.nt_file(
        (0x10000, 0x11000, 0, b"/lib/a.so"), (0x11000, 0x13000, 1, b"/lib/a.so"),
        (0x20000, 0x21000, 0, b"/usr/locale"), (0x30000, 0x31000, 7, b"/lib/tail.so"),
        (0x40000, 0x41000, 0, b"/lib/a.so"), (0x50000, 0x51000, 0, b"/lib/unseen.so"),
        (0x60000, 0x61000, 0, b"/app/managed.dll"),
    )  # fmt: skip
    loads = [
        w.Load(0x10000, library, flags="r"), w.Load(0x20000, data, flags="r"), w.Load(0x40000, library[:4096], flags="r"),
        w.Load(0x60000, b"MZ".ljust(4096, b"\0"), flags="r"), w.Load(0x7FF000, w.image(b"\x77" * 20), flags="rx"),
    ]  # fmt: skip
    notes = w.prpsinfo(1, b"p") + w.auxv((33, 0x7FF000)) + files + w.prstatus(1, {})
    images = opened(tmp_path, w.core(notes, loads)).images
    assert [(i.path, i.base, i.end) for i in images] == [
        ("/lib/a.so", 0x10000, 0x13000), ("/lib/a.so", 0x40000, 0x41000), ("/lib/unseen.so", 0x50000, 0x51000),
        ("/app/managed.dll", 0x60000, 0x61000), ("[vdso]", 0x7FF000, 0x801000),
    ]  # fmt: skip
    ids: Dict[int, Optional[str]] = {i.base: i.build_id for i in images}
    assert ids[0x10000] == bytes(range(20)).hex() and ids[0x50000] is None and ids[0x7FF000] == "77" * 20


def test_more_segments_than_the_header_can_count(tmp_path: Path) -> None:
    loads = [w.Load(0x100000 + n * 0x10000, b"") for n in range(70_000)]
    loads = [w.Load(load.start, b"", 0x1000) for load in loads] + w.stacks(1)
    core = opened(tmp_path, w.core(w.prstatus(1, {"rsp": 0x7FFF00001800}), loads, extended=True))
    assert len(core.segments) == 70_001 and len(core.threads) == 1
    with open(core.file, "rb") as stream:
        assert ELFFile(stream).num_segments() == 70_002


def test_ten_thousand_threads(tmp_path: Path) -> None:
    core = opened(tmp_path, w.createdump(tids=range(1000, 11_000), loads=w.stacks(1)))
    assert [t.tid for t in core.threads] == list(range(1000, 11_000))
    assert core.threads[9_999].registers["rip"] == 0x401000 + 9_999


def test_thread_limit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "THREADS", 3)
    core = opened(tmp_path, w.createdump(tids=range(1, 6), loads=w.stacks(5)))
    assert len(core.threads) == 3 and any("first 3 threads" in n for n in core.notes)


def test_overlaps_are_resolved_and_told(tmp_path: Path) -> None:
    loads = [
        w.Load(0x1000, b"A" * 0x1000, 0x100000),  # claims far more than it has
        w.Load(0x3000, b"B" * 0x1000),
        w.Load(0x3800, b"C" * 0x1000),  # its first half is there twice
        w.Load(0x9000, b"D" * 0x1000),
        w.Load(0x9100, b"E" * 0x100),  # inside
    ]
    core = opened(tmp_path, w.core(w.prstatus(1, {}), loads))
    ends = [(s.start, s.end) for s in core.segments]
    assert all(a[1] <= b[0] for a, b in zip(ends, ends[1:]))
    memory = FileMemory(core.file, core.segments)
    assert memory.read(0x37FF, 1) == b"B" and memory.read(0x4000, 1) == b"C" and memory.read(0x4800, 1) is None
    assert memory.read(0x1FFF, 1) == b"A" and memory.read(0x2000, 1) is None and memory.read(0x9200, 1) == b"D"
    disputed = (0x3800, 0x3FFF, 0x9100, 0x91FF)
    assert all(memory.read(at, 1) is None for at in disputed), (
        "two segments tell two things: debuggers differ, nothing is claimed"
    )
    assert any("overlap" in n for n in core.notes)


def test_cut_cores(tmp_path: Path) -> None:
    whole = w.createdump(tids=range(100, 120), loads=w.stacks(20))
    half = opened(tmp_path, whole[:-0x9000])
    assert half.truncated and half.missing_bytes == 0x9000 and len(half.threads) == 20
    memory = FileMemory(half.file, half.segments)
    assert memory.read(0x7FFF00000000 + (19 << 16), 8) is None and memory.read(0x7FFF00000000, 1) is not None
    notes_start = 64 + 56 * 21
    cut = opened(tmp_path, whole[: notes_start + 5000])
    assert cut.truncated and 0 < len(cut.threads) < 20
    assert any("list of threads is cut" in n for n in cut.notes)
    for size in (5, 30, 63, 64, 100, notes_start - 3, notes_start, notes_start + 100):
        with pytest.raises((MalformedCore, NotACore)) as caught:
            opened(tmp_path, whole[:size])
        assert str(size) in str(caught.value), caught.value


def test_notes_at_the_end_and_cut_off(tmp_path: Path) -> None:
    whole = gcore(19, 0x80)
    with pytest.raises(MalformedCore, match=f"cut at {len(whole) // 2} of at least {len(whole)} bytes"):
        opened(tmp_path, whole[: len(whole) // 2])


def test_refused_machines_and_systems(tmp_path: Path) -> None:
    one = w.prstatus(1, {})
    for data, words in (
        (w.core(one, elf_class=1), "32-bit"),
        (w.core(one, data=2), "big-endian"),
        (w.core(one, machine=243), "RISC-V"),
        (w.core(one, machine=0x1234), "machine 4660"),
        (w.core(one, osabi=9), "FreeBSD"),
        (w.core(w.note(b"FreeBSD", 1, bytes(400))), "FreeBSD"),
        (w.core(one, kind=2), "executable"),
    ):
        with pytest.raises(NotACore, match=words):
            opened(tmp_path, data)
    with pytest.raises(MalformedCore, match="without a single thread"):
        opened(tmp_path, w.core(w.prpsinfo(1, b"x")))


def test_absurd_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = bytearray(w.createdump(loads=w.stacks(2)))
    huge = bytearray(good)
    huge[64 + 56 + 8 : 64 + 56 + 16] = pack("<Q", 1 << 63)  # p_offset of the first segment
    core = opened(tmp_path, bytes(huge))
    assert len(core.threads) == 2 and len(core.segments) == 1 and any("absurd" in n for n in core.notes)
    none = bytearray(good)
    none[56:58] = b"\0\0"
    with pytest.raises(MalformedCore):
        opened(tmp_path, bytes(none))
    monkeypatch.setattr(limits, "PROGRAM_HEADERS", 2)
    with pytest.raises(MalformedCore, match="claims 3 segments"):
        opened(tmp_path, bytes(good))
