"""The managed thread list: by contract, by a version's offsets, by structure; and what is not believed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import pytest

from dumpwalk.core.memory import BytesMemory, read_u64
from dumpwalk.core.process import Process
from dumpwalk.coreclr import dac_table
from dumpwalk.coreclr.dac_table import read_dac_table, resolve_cache_candidates
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.managed_threads import ManagedThreads, read_threads
from dumpwalk.coreclr.runtime import RuntimeInfo, identify
from dumpwalk.coreclr.thread_layouts import ThreadLayout, decode_state, rows_for
from dumpwalk.coreclr.words import Unknown
from dumpwalk.dump.preflight import opened_core
from dumpwalk.engine.run import Options, analyze_core
from fixtures import packages
from tests.conftest import truth_of, unpack_core
from tests.coreclr_images import BASE, elf_image, module, process, process_of_core

HEAP = 0x55AA00000000
STORE = HEAP
G_STORE, G_FINALIZER, G_SUSPENSION, G_MANAGER, TABLE = 0x4000, 0x4008, 0x4010, 0x4100, 0x6000
TIDS = [900, 901, 902, 903]
VERSIONS = {
    "10.0.1226.42308": ("x86_64", "offsets of 10.0"),
    "9.0.2026.41315": ("x86_64", "offsets of 9.0"),
    "8.0.3126.42015": ("x86_64", "offsets of 8.0"),
    "6.0.3624.51421": ("x86_64", "offsets of 6.0"),
}
ARM64 = {"10.0.1226.42308": ("aarch64", "offsets of 10.0, arm64")}


def words(image: bytearray, at: int, *values: int) -> None:
    struct.pack_into(f"<{len(values)}Q", image, at, *values)


class Heap:
    """ThreadStore and Thread objects laid out by hand, not by the reader's tables."""

    def __init__(self, shape: Dict[str, int], threads: Sequence[Tuple[int, int, int, int]]) -> None:
        # threads: (managed id, OS tid, mode, state)
        self.shape = shape
        self.bytes = bytearray(0x10000)
        self.threads = [HEAP + 0x2000 + 0x800 * i for i in range(len(threads))]
        for address, (managed, tid, mode, state) in zip(self.threads, threads):
            at = address - HEAP
            struct.pack_into("<II", self.bytes, at + shape["state"], state, mode)
            struct.pack_into("<I", self.bytes, at + shape["id"], managed)
            words(self.bytes, at + shape["os"], tid)
        links = [address + shape["link"] for address in self.threads]
        for link, following in zip(links, [*links[1:], 0]):
            words(self.bytes, link - HEAP, following)
        struct.pack_into("<I", self.bytes, shape["first"] - 8, shape["flags"])
        words(self.bytes, shape["first"], links[0] if links else 0)
        struct.pack_into("<I", self.bytes, shape["count"], len(threads))

    def link_of(self, index: int) -> int:
        return self.threads[index] + self.shape["link"] - HEAP


def shape(*values: int) -> Dict[str, int]:
    return dict(zip(("state", "id", "link", "os", "first", "count", "holder", "flags"), values))


SHAPE_10 = shape(0, 0x10, 0x70, 0x128, 0x58, 0x70, 0x90, 0x80000018)
SHAPE_9 = shape(0, 0x10, 0x70, 0x128, 0xA0, 0xB8, 0xD8, 0xC0000018)
SHAPE_8 = shape(8, 0x20, 0xE8, 0x1A8, 0xA0, 0xB8, 0xD8, 0xC0000018)
SHAPE_6 = shape(8, 0x20, 0xF0, 0x1B0, 0xA0, 0xB8, 0xD8, 0xC0000018)
SHAPE_31 = shape(8, 0x24, 0x100, 0x1C8, 0xA8, 0xC0, 0xF8, 0xC0000018)
SHAPES = {"10.0.1226.42308": SHAPE_10, "9.0.2026.41315": SHAPE_9, "8.0.3126.42015": SHAPE_8, "6.0.3624.51421": SHAPE_6}
FOUR = [(1, 900, 0, 0x2020020), (2, 901, 0, 0x21220), (3, 902, 1, 0x1021220), (4, 903, 1, 0x21220)]


def image_for(version: str, table: bool = True, extra: Sequence[Tuple[int, bytes]] = ()) -> bytes:
    major = int(version.split(".")[0])
    slots = {10: (13, 15, 16, 17), 6: (15, 17, None, None), 4: ()}.get(major, (14, 16, 17, 18))
    size = {10: 0x408, 9: 0x4F0, 8: 0x4E8, 6: 0x2C0, 4: 0x2C4}[major]
    entries = bytearray(size)
    for slot, target in zip(slots, (G_MANAGER, G_STORE, G_FINALIZER, G_SUSPENSION)):
        if slot is not None and major >= 8:
            struct.pack_into("<Q", entries, 8 * slot, BASE + target)
        elif slot is not None:
            struct.pack_into("<I", entries, 4 * slot, target)
    symbols = {"g_dacTable": (TABLE, size)} if table else {}
    text = f"@(#)Version {version} @Commit\0".encode()
    return elf_image(symbols, [(0x3000, text), (TABLE, bytes(entries)), *extra], size=0x8000)


def build(
    version: str, heap: Heap, arch: str = "x86_64", finalizer: int = 0, suspension: int = 0, table: bool = True,
    tids: Sequence[int] = TIDS, os: str = "linux",
) -> Tuple[Process, RuntimeInfo]:  # fmt: skip
    pointers = struct.pack("<QQQ", STORE, finalizer, suspension)
    image = image_for(version, table, [(G_STORE, pointers)])
    memory = BytesMemory([(BASE, image), (HEAP, bytes(heap.bytes))])
    proc = process(memory, [module("/opt/rt/libcoreclr.so")], arch=arch, tids=tids, os=os)
    runtime = identify(proc)
    assert runtime is not None
    return proc, runtime


def read(version: str, heap: Heap, **options: object) -> ManagedThreads:
    return read_threads(*build(version, heap, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("version", sorted(SHAPES))
def test_offsets_of_each_version(version: str) -> None:
    heap = Heap(SHAPES[version], FOUR)
    words(heap.bytes, SHAPES[version]["holder"], heap.threads[0], 900)
    found = read(version, heap, finalizer=heap.threads[1], suspension=heap.threads[0])
    assert found.status == "complete" and found.how == VERSIONS[version][1]
    assert [t.managed_id for t in found.threads] == [1, 2, 3, 4]
    assert [t.os_tid for t in found.threads] == TIDS
    assert [t.cooperative for t in found.threads] == [False, False, True, True]
    assert [t.address for t in found.threads] == heap.threads
    assert found.threads[2].flags == ("background", "thread-pool-worker")
    assert (found.count, found.store) == (4, STORE)
    assert found.holder == heap.threads[0]
    if version.startswith("6."):  # its table's other slots are not known
        assert found.finalizer is None and not found.suspending_known
    else:
        assert found.finalizer == heap.threads[1] and found.threads[1].is_finalizer
        assert found.suspending == heap.threads[0] and found.suspending_known
    assert found.by_tid()[902].managed_id == 3


def test_arm64_has_more_before_the_link() -> None:
    heap = Heap({**SHAPE_10, "link": 0x98, "os": 0x150}, FOUR)
    found = read("10.0.1226.42308", heap, arch="aarch64", finalizer=heap.threads[1])
    assert (found.status, found.how) == ("complete", "offsets of 10.0, arm64")
    assert [t.managed_id for t in found.threads] == [1, 2, 3, 4]


def test_3_1_without_symbols_by_the_flags_of_its_lock() -> None:
    heap = Heap(SHAPE_31, FOUR)
    found = read("4.700.22.11601", heap, table=False)
    assert (found.status, found.how) == ("complete", "offsets of 3.1")
    assert [t.os_tid for t in found.threads] == TIDS
    assert any("lock's flags" in note for note in found.notes)


def test_an_unknown_version_is_read_by_the_layout_that_proves_itself() -> None:
    heap = Heap(SHAPE_10, FOUR)
    image = elf_image({}, [(0x3000, b"@(#)Version 12.0.100.1 @Commit\0"), (G_STORE, struct.pack("<Q", STORE))])
    memory = BytesMemory([(BASE, image), (HEAP, bytes(heap.bytes))])
    proc = process(memory, [module("/opt/rt/libcoreclr.so")], tids=TIDS)
    runtime = identify(proc)
    assert runtime is not None and runtime.version == "12.0.1"
    found = read_threads(proc, runtime)
    assert found.status == "complete" and found.how == "offsets of 10.0"


def test_an_os_id_that_is_no_thread_of_the_dump_rejects_the_layout() -> None:
    found = read("8.0.3126.42015", Heap(SHAPE_8, FOUR), tids=[900, 901, 902])
    assert found.status == "none" and found.threads == []
    assert "no known layout" in found.coverage


@pytest.mark.parametrize(
    "threads",
    [
        [(1, 900, 0, 0x20), (2, 900, 0, 0x20)],  # one OS id twice
        [(1, 900, 0, 0x20), (1, 901, 0, 0x20)],  # one managed id twice
        [(0, 900, 0, 0x20), (2, 901, 0, 0x20)],
        [(1, 900, 0, 0x20), (2, 901, 7, 0x20)],  # a mode that is no boolean
        [(1, 900, 0, 0x20), (2, 0, 0, 0x20)],  # started, yet without an OS id
    ],
)
def test_lists_that_contradict_themselves_are_not_believed(threads: List[Tuple[int, int, int, int]]) -> None:
    assert read("8.0.3126.42015", Heap(SHAPE_8, threads)).status == "none"


def test_unstarted_and_dead_threads_have_no_os_id() -> None:
    threads = [(1, 900, 0, 0x20), (2, 0xBAADF00D, 0, 0x400), (3, 4242, 0, 0x800)]
    found = read("8.0.3126.42015", Heap(SHAPE_8, threads))
    assert found.status == "complete"
    assert [t.os_tid for t in found.threads] == [900, None, None]
    assert found.threads[1].flags == ("unstarted",) and found.threads[2].flags == ("dead",)


def test_circular_and_broken_lists_end() -> None:
    for damage, word in ((0, "circle"), (1, "not in the dump"), (2, "no thread"), (3, "shorter")):
        heap = Heap(SHAPE_10, FOUR)
        target = [HEAP + heap.link_of(0), 0x777700000000, HEAP + heap.link_of(1) + 4, 0][damage]
        words(heap.bytes, heap.link_of(2), target)
        found = read("10.0.1226.42308", heap, finalizer=heap.threads[1])
        assert found.status == "partial", damage
        assert len(found.threads) == 3 and word in found.coverage


def test_an_empty_process_and_missing_pages() -> None:
    heap = Heap(SHAPE_10, FOUR)
    proc, runtime = build("10.0.1226.42308", heap)
    no_heap = process(BytesMemory([(BASE, proc.memory.read(BASE, 0x8000) or b"")]), proc.modules, tids=TIDS)
    found = read_threads(no_heap, runtime)
    assert found.status == "none" and found.threads == [] and found.coverage
    assert read("10.0.1226.42308", Heap(SHAPE_10, [])).status == "none"


def test_the_contract_comes_first() -> None:
    odd = shape(0x40, 0x48, 0x80, 0x100, 0x200, 0x218, 0x238, 0)
    heap = Heap(odd, FOUR)
    document = {
        "types": {
            "Thread": {"State": 0x40, "PreemptiveGCDisabled": 0x44, "Id": 0x48, "LinkNext": 0x80, "OSId": 0x100},
            "ThreadStore": {"FirstThreadLink": 0x200, "ThreadCount": 0x218},
        },
        "globals": {"ThreadStore": [[1]], "FinalizerThread": [[2]], "GCThread": [[3]]},
    }
    text = json.dumps(document).encode()
    header = struct.pack("<QIIQIIQ", 0x0043414443434E44, 1, len(text), BASE + 0x5000, 4, 0, BASE + 0x4200)
    pointers = struct.pack("<4Q", 0, BASE + G_STORE, BASE + G_FINALIZER, BASE + G_SUSPENSION)
    values = struct.pack("<QQQ", STORE, heap.threads[1], heap.threads[3])
    contents = [(0x4300, header), (0x4200, pointers), (G_STORE, values), (0x5000, text)]
    image = elf_image({"DotNetRuntimeContractDescriptor": (0x4300, 40)}, contents)
    memory = BytesMemory([(BASE, image), (HEAP, bytes(heap.bytes))])
    for tids, status in ((TIDS, "complete"), (TIDS[:3], "partial")):
        proc = process(memory, [module("/opt/rt/libcoreclr.so")], tids=tids)
        runtime = identify(proc)
        assert runtime is not None
        found = read_threads(proc, runtime)
        assert found.status == status and found.how == "data contract, from the dump"
        assert found.suspending == heap.threads[3] and found.finalizer == heap.threads[1]
        assert [t.os_tid for t in found.threads] == TIDS


def test_dac_table_names_what_its_size_says() -> None:
    heap = Heap(SHAPE_8, FOUR)
    proc, runtime = build("8.0.3126.42015", heap)
    table = read_dac_table(proc, runtime)
    assert table is not None and table.row is not None and table.row.major == 8
    assert table.globals == {
        dac_table.MANAGER: BASE + G_MANAGER,
        dac_table.THREAD_STORE: BASE + G_STORE,
        dac_table.FINALIZER_THREAD: BASE + G_FINALIZER,
        dac_table.SUSPENSION_THREAD: BASE + G_SUSPENSION,
    }


def test_cache_candidates_begin_with_the_known_neighbour() -> None:
    for version, delta in (("10.0.1226.42308", 0x18), ("8.0.3126.42015", 0x18), ("6.0.3624.51421", 0x10)):
        near = struct.pack("<4Q", HEAP + 0x100, 5, HEAP + 0x200, HEAP + 0x300)
        image = image_for(version, True, [(G_MANAGER, near), (G_MANAGER - 0x200, struct.pack("<Q", HEAP + 0x400))])
        proc = process(BytesMemory([(BASE, image)]), [module("/opt/rt/libcoreclr.so")])
        runtime = identify(proc)
        assert runtime is not None
        table = read_dac_table(proc, runtime)
        assert table is not None
        found = [candidate.address - BASE - G_MANAGER for candidate in resolve_cache_candidates(proc, runtime, table)]
        assert found[0] == delta
        assert set(found) == {0x18, 0x10, 0, -0x200}  # not +8, which holds 5: no pointer


def test_a_table_of_unknown_size_names_nothing_but_still_offers_candidates() -> None:
    entries = bytearray(0x500)
    struct.pack_into("<Q", entries, 8 * 12, BASE + G_MANAGER)
    near = struct.pack("<4Q", HEAP, 0, HEAP + 0x40, HEAP + 0x80)
    image = elf_image({"g_dacTable": (TABLE, 0x500)}, [(TABLE, bytes(entries)), (G_MANAGER, near)])
    proc = process(BytesMemory([(BASE, image)]), [module("/opt/rt/libcoreclr.so")])
    runtime = identify(proc)
    assert runtime is not None
    table = read_dac_table(proc, runtime)
    assert table is not None and table.row is None and table.globals == {}
    assert "1280 bytes" in table.why
    offered = [(c.address, read_u64(proc.memory, c.address)) for c in resolve_cache_candidates(proc, runtime, table)]
    assert offered[0] == (BASE + G_MANAGER + 0x18, HEAP + 0x80)


def test_entries_outside_of_the_image_are_not_named() -> None:
    image = elf_image({"g_dacTable": (TABLE, 0x408)}, [(TABLE, struct.pack("<129Q", *[0x1234] * 129))])
    proc = process(BytesMemory([(BASE, image)]), [module("/opt/rt/libcoreclr.so")])
    runtime = identify(proc)
    assert runtime is not None
    table = read_dac_table(proc, runtime)
    assert table is not None and table.globals == {} and "do not point" in table.why
    assert list(resolve_cache_candidates(proc, runtime, table)) == []


def test_rows_of_the_version_come_first() -> None:
    def first(major: Optional[int], os: str = "linux", arch: str = "x86_64") -> ThreadLayout:
        return next(iter(rows_for(os, arch, major)))

    assert first(8).name == "offsets of 8.0" and first(7).name == "offsets of 8.0"
    assert first(3).name == "offsets of 3.1" and first(11).name == "offsets of 10.0"
    assert first(8, "macos").thread_count == 0x10 + 0xA8 + 0x18
    assert len(list(rows_for("linux", "x86_64", None))) == 5
    assert decode_state(None) == () and decode_state(0x80000008) == ("debug-suspend-pending", "detached")


def test_globals_of_the_contract_serve_without_their_names() -> None:
    heap = Heap(SHAPE_10, FOUR)
    header = struct.pack("<QIIQIIQ", 0x0043414443434E44, 1, 500, 0x7FFF00000000, 5, 0, BASE + 0x4200)
    pointers = struct.pack("<5Q", 0, BASE + 0x4F00, BASE + G_STORE, BASE + G_FINALIZER, BASE + G_SUSPENSION)
    values = struct.pack("<QQQ", STORE, heap.threads[1], heap.threads[3])
    image = elf_image({}, [(0x4300, header), (0x4200, pointers), (G_STORE, values)])
    memory = BytesMemory([(BASE, image), (HEAP, bytes(heap.bytes)), (0x7FFF00000000, b"?" * 500)])
    proc = process(memory, [module("/app/tool")], tids=TIDS)
    runtime = identify(proc)
    assert runtime is not None and runtime.located_by == "contents"
    found = read_threads(proc, runtime)
    assert (found.status, found.how) == ("complete", "offsets of 10.0")
    assert found.finalizer == heap.threads[1] and found.suspending == heap.threads[3]
    assert any("unnamed globals" in note for note in found.notes)


RUNTIMES = {
    "hang-self": ("dotnet-3.1.23-linux-x64", "shared/Microsoft.NETCore.App/3.1.23/libcoreclr.so", "3.1.23"),
    "hang-stub-gc": ("dotnet-3.1.23-linux-x64", "shared/Microsoft.NETCore.App/3.1.23/libcoreclr.so", "3.1.23"),
    "net9-hang-self": ("azmcp-0.5.0-linux-x64", "libcoreclr.so", "9.0.5"),
}


def _check_against_truth(name: str, file: Optional[str]) -> Tuple[ManagedThreads, RuntimeInfo]:
    truth = truth_of(name)
    with opened_core(str(unpack_core(name))) as core:
        proc = process_of_core(core, file)
        runtime = identify(proc)
        assert runtime is not None
        found = read_threads(proc, runtime)
    assert found.status == "complete", found.coverage
    named = {int(tid): thread_name for tid, thread_name in truth["names"].items()}
    listed = {t.os_tid for t in found.threads}
    assert listed <= set(truth["tids"])
    workers = {tid for tid, thread_name in named.items() if thread_name.startswith("worker-")}
    assert workers and workers <= listed
    if found.finalizer is not None:
        finalizers = [t for t in found.threads if t.is_finalizer]
        assert [t.managed_id for t in finalizers] == [2]
        name_of_it = "dotnet" if runtime.major == 3 else ".NET Finalizer"  # 3.1 does not name its own threads
        assert [named[t.os_tid] for t in finalizers if t.os_tid] == [name_of_it]
    return found, runtime


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_real_cores_with_all_module_files_withheld(name: str) -> None:
    found, runtime = _check_against_truth(name, None)
    assert runtime.major == int(RUNTIMES[name][2].split(".")[0])
    assert found.how is not None and found.how.startswith("offsets of")


@pytest.mark.images
@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_real_cores_with_their_runtime(name: str) -> None:
    key, inside, version = RUNTIMES[name]
    found, runtime = _check_against_truth(name, str(packages.runtime_folder(key) / inside))
    assert runtime.version == version
    assert found.finalizer is not None and found.suspending_known
    if version.startswith("9"):
        assert found.how is not None and found.how.startswith("data contract")


@pytest.mark.images
def test_the_suspending_thread_of_a_real_core() -> None:
    key, inside, _ = RUNTIMES["hang-stub-gc"]
    wanted = truth_of("hang-stub-gc")["suspending_tid"]
    found, _ = _check_against_truth("hang-stub-gc", str(packages.runtime_folder(key) / inside))
    suspending = found.by_address(found.suspending)
    assert suspending is not None and suspending.os_tid == wanted
    assert found.holder == found.suspending  # the thread that suspends holds the ThreadStore lock
    withheld, _ = _check_against_truth("hang-stub-gc", None)
    assert not withheld.suspending_known


def test_threads_whose_methods_could_not_be_named_are_not_called_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A healthy server whose code ranges cannot be read: managed code is on the stacks, and what it waits for is not known."""
    core = str(unpack_core("managed/linux-x64-10.0.12-idle-healthy"))
    assert analyze_core(core, Options(), None, str(tmp_path)).verdict.status == "none"
    monkeypatch.setattr(ManagedView, "code", lambda view: Unknown("damaged", False))
    report = analyze_core(core, Options(), None, str(tmp_path))
    assert (report.verdict.status, report.verdict.kind) == ("inconclusive", "managed-wait-unknown")
    for thread in report.threads:
        if any(frame.kind == "managed" for frame in thread.frames):
            assert thread.wait is None or thread.wait.kind != "idle", thread.index
