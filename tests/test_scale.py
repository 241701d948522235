"""Size changes nothing but the time: big cores are analysed whole, and what is done for them grows in step.

Time is never asserted here (`make bench` measures it); growth is, by counting bytes read and lines executed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest

from bench import measure
from dumpwalk.core.corefile import CoreImage, Segment
from dumpwalk.core.memory import BytesMemory, Extent, FileMemory, filled_runs
from dumpwalk.coreclr.dispatch import audit as chain_walk
from dumpwalk.coreclr.dispatch.audit import CacheWalk, walk_cache
from dumpwalk.coreclr.dispatch.clean_chains import NOTHING_CLEAN
from dumpwalk.debugger import session as lldb_session
from dumpwalk.report.json_format import MalformedReport, from_wire, to_wire
from fixtures import scale
from fixtures.hash import BUCKETS
from tests.conftest import ROOT, UNPACKED, unpack_core
from tests.real_cores import analyze, module_options
from tests.report_samples import SAMPLES, crowd

SCALE = UNPACKED / "scale"


def big(name: str) -> Tuple[Path, Dict[str, Any]]:
    core = scale.ensure(name, SCALE)
    return core, json.loads(core.with_suffix(".truth.json").read_text())


def run(cores: Sequence[Path], options: Sequence[str]) -> Tuple[int, Any]:
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", *map(str, cores), *options]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


# --- whole cores


@pytest.mark.live
def test_two_thousand_threads_are_told_whole() -> None:
    core, truth = big("crowd-2000")
    code, report = run([core], ["-m", str(SCALE / "bin")])
    assert code == 10 and report["verdict"]["kind"] == "lock-cycle"
    threads = {t["index"]: t for t in report["threads"]}
    assert len(threads) == truth["count"]
    for thread in threads.values():
        assert len(thread["frames"]) > 4 and thread["state"] == "waiting", thread
    locks = {lock["name"]: lock for lock in report["locks"]}
    for name, waiters in truth["waiters"].items():
        assert locks[name]["address"] == truth["locks"][name]
        assert sorted(threads[w["thread"]]["tid"] for w in locks[name]["waiters"]) == waiters
    holders = [a["thread"] for a in report["findings"][0]["actors"] if a["role"] == "holder"]
    assert sorted(threads[index]["tid"] for index in holders) == truth["cycle_tids"]
    assert sum(group["count"] for group in report["groups"]) == truth["count"] and len(report["groups"]) < 40


def test_a_million_elements_are_walked_to_the_last() -> None:
    core, truth = big("cache-1000000")
    code, report = run([core], module_options("healthy"))
    cache = report["dispatch_cache"]
    assert code == 0 and report["verdict"]["kind"] == "nothing-stuck"
    assert (cache["elements"], cache["buckets"]) == (truth["elements"], truth["buckets"])
    assert truth["elements"] > 1_000_000 and cache["walked"] == "complete" and not cache["violations"]


def test_a_loop_of_a_hundred_thousand_nodes_is_measured_exactly() -> None:
    core, truth = big("chain-100000")
    code, report = run([core], module_options("hang-self"))
    _, original, _ = analyze("hang-self")
    assert code == 10 and report["verdict"]["line"] == original["verdict"]["line"]
    (cycle,) = report["dispatch_cache"]["cycles"]
    assert (cycle["length"], cycle["entry"]) == (truth["cycle_length"], truth["entry"])
    assert (cycle["bucket"], cycle["tail"]) == (truth["bucket"], truth["tail"])
    assert cycle["nodes"][0]["address"] == truth["entry"] and len(cycle["nodes"]) <= 1000


def test_eight_gigabytes_of_heap_change_nothing() -> None:
    core, truth = big("sparse-8g")
    assert core.stat().st_size > truth["added"] == 8 << 30
    code, report = run([core], module_options("hang-self"))
    _, original, _ = analyze("hang-self")
    assert code == 10
    for key in ("verdict", "runtime", "locks", "dispatch_cache", "wait_graph"):
        assert report[key] == original[key], key


def test_fifty_cores_in_one_call(tmp_path: Path) -> None:
    source = unpack_core("native-three")
    cores = [tmp_path / f"{number:02}.core" for number in range(50)]
    for core in cores:
        core.symlink_to(source)
    code, entries = run(cores, ["-m", str(tmp_path)])
    assert code == 10
    assert [entry["dump"]["path"] for entry in entries] == [str(core) for core in cores]
    assert len({entry["verdict"]["line"] for entry in entries}) == 1


# --- what is done grows in step


class Counting(BytesMemory):
    """Counts bytes read and runs asked for."""

    taken = 0

    def read(self, address: int, size: int) -> Optional[bytes]:
        self.taken += size
        return super().read(address, size)

    def extent(self, address: int) -> Optional[Extent]:
        self.taken += 1
        return super().extent(address)


def cache_of(count: int, loop: bool = False) -> Tuple[Counting, List[int], int]:
    """(memory, slots, sentinel) of a cache with `count` elements; with `loop` all in one chain that never ends."""
    sentinel = 0x1000
    slots = [sentinel] * BUCKETS
    words = bytearray()
    keys = scale.Keys().in_bucket(7, count) if loop else scale.Keys().anywhere(count)
    for place, (bucket, method_table, token) in enumerate(keys):
        address = scale.ELEMENTS_AT + scale.NODE_BYTES * place
        following = slots[bucket]
        if loop and place == 0:
            following = scale.ELEMENTS_AT + scale.NODE_BYTES * (count // 2)
        for value in (method_table, token, 0x1000, following):
            words += value.to_bytes(8, "little")
        slots[bucket] = address
    empty = ((1 << 64) - 1).to_bytes(8, "little") + bytes(24)
    return Counting([(sentinel, empty), (scale.ELEMENTS_AT, bytes(words))]), slots, sentinel


def cost_of(count: int, loop: bool) -> Tuple[int, int, CacheWalk]:
    """(lines executed, bytes read, what was found) of one walk."""
    memory, slots, sentinel = cache_of(count, loop)
    lines = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found = walk_cache(memory, slots, sentinel)
    finally:
        sys.settrace(before)
    return lines, memory.taken, found


@pytest.mark.parametrize("loop", [False, True])
def test_the_walk_grows_in_step_with_the_elements(loop: bool) -> None:
    lines, taken, few = cost_of(4000, loop)
    more_lines, more_taken, many = cost_of(16000, loop)
    assert (few.elements, many.elements) == (4000, 16000)
    assert [c.length for c in many.cycles] == ([8001] if loop else []), "and nothing is lost on the way"
    assert more_lines < 4.2 * lines and more_taken < 4.2 * taken + 1000


@pytest.mark.parametrize("seed", range(60))
def test_clean_chains_are_told_apart_from_damaged_ones(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick walk of clean chains finds what the audit alone finds, whatever is broken and wherever."""
    chance = random.Random(seed)
    memory, slots, sentinel = cache_of(3000)
    start, data = memory._pieces[-1]
    words = bytearray(data)
    places = range(0, len(words), scale.NODE_BYTES)
    for _ in range(seed % 4):
        at = chance.choice(places) + chance.choice((0, 8, 24))
        value = chance.choice(
            (0, 1, sentinel, start + chance.choice(places), start + 8, start + len(words), 0x7777000, 1 << 63)
        )
        words[at : at + 8] = value.to_bytes(8, "little")
    if seed % 5 == 4:
        slots[chance.randrange(BUCKETS)] = chance.choice((0, 4, start + chance.choice(places), 0x7777000))
    cut = chance.choice(places) + 16  # an element across two segments
    pieces = [memory._pieces[0], (start, bytes(words[:cut])), (start + cut, bytes(words[cut:]))]
    quick = walk_cache(BytesMemory(pieces), slots, sentinel)
    monkeypatch.setattr(chain_walk, "take_clean", lambda *_: NOTHING_CLEAN)
    assert walk_cache(BytesMemory(pieces), slots, sentinel) == quick
    assert seed % 4 or seed % 5 == 4 or quick.elements >= 2999


def test_the_scan_reads_what_is_no_hole_and_nothing_else() -> None:
    from dumpwalk.coreclr.dispatch.locate import scan
    from dumpwalk.coreclr.layouts import matching
    from dumpwalk.dump.preflight import open_core

    class Read(FileMemory):
        taken = 0

        def read(self, address: int, size: int) -> Optional[bytes]:
            self.taken += size
            return super().read(address, size)

    core, truth = big("sparse-8g")
    told = open_core(str(core))
    memory = Read(told.file, told.segments)
    shapes, complete = scan(memory, list(matching("linux", "x86_64", "glibc", 3)))
    assert [hex(shape.address) for shape in shapes] == [truth["cache"]] and complete
    assert memory.taken < 2 * 512 * os.stat(core).st_blocks < 100 << 20
    memory.close()


def sparse(path: Path, pieces: Dict[int, bytes], size: int) -> None:
    with path.open("wb") as stream:
        for offset, data in pieces.items():
            stream.seek(offset)
            stream.write(data)
        stream.truncate(size)


@pytest.mark.may_skip
def test_filled_runs_are_where_the_file_has_bytes(tmp_path: Path) -> None:
    block = 1 << 16
    sparse(tmp_path / "f", {4 * block: b"x" * block, 9 * block: b"y"}, 16 * block)
    memory = FileMemory(str(tmp_path / "f"), [Segment(0x100000, 0x100000 + 15 * block, block, 15 * block)])
    runs = list(filled_runs(memory, 0x100000, 0x100000 + 15 * block))
    held = b"".join(memory.read(start, end - start) or b"" for start, end in runs)
    assert held.count(b"x") == block and held.count(b"y") == 1
    assert all(0x100000 <= start < end <= 0x100000 + 15 * block for start, end in runs)
    if sum(end - start for start, end in runs) == 15 * block:
        pytest.skip("this file system keeps no holes")
    assert len(held) < 3 * block
    assert list(filled_runs(memory, 0x100000 + 10 * block, 0x100000 + 15 * block)) == []
    assert memory.read(0x100000 + 12 * block, 8) == bytes(8), "a hole is zeros all the same"
    memory.close()


def test_filled_runs_of_memory_without_a_file_are_all_of_it() -> None:
    assert list(filled_runs(BytesMemory([(8, bytes(64))]), 8, 72)) == [(8, 72)]


# --- between the processes


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_report_survives_the_way_from_the_child(name: str) -> None:
    report = SAMPLES[name]()
    assert from_wire(json.loads(json.dumps(to_wire(report)))) == report


def test_a_stack_is_sent_once_however_many_threads_share_it() -> None:
    def size(threads: int) -> int:
        return len(json.dumps(to_wire(from_wire(json.loads(json.dumps(to_wire(crowd(threads, 25))))))))

    assert (size(3000) - size(1000)) / 2000 < 600, "bytes a thread; its 25 frames alone are 3,000"


@pytest.mark.parametrize("damage", [{"stacks": []}, {"frames": []}, {"report": {}}, {"stacks": [["x"]]}])
def test_a_damaged_message_is_told_as_one(damage: Dict[str, Any]) -> None:
    wire = json.loads(json.dumps(to_wire(crowd(3, 4))))
    with pytest.raises(MalformedReport):
        from_wire({**wire, **damage})


# --- start-up

HEAVY = ("lldb", "networkx", "tabulate", "jinja2", "elftools", "macholib")


def imports(*arguments: str) -> List[str]:
    """Top-level packages that a command of dumpwalk imports in its own process (the analysing child's are its own)."""
    argv = [sys.executable, "-X", "importtime", "-m", "dumpwalk", *arguments]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    names = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert "dumpwalk.front.cli" in names, done.stderr
    return names


def test_debug_files_of_the_c_library_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lldb_session, "_DEBUG_FILES", str(tmp_path))
    (tmp_path / ".build-id" / "ab").mkdir(parents=True)
    (tmp_path / ".build-id" / "ab" / "cd01.debug").write_bytes(b"")
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / "libown.so.debug").write_bytes(b"")

    def wants(path: str, build_id: Optional[str]) -> bool:
        return lldb_session._wants_debug_file(CoreImage(path, 0x1000, None, build_id))

    assert wants("/usr/share/dotnet/libcoreclr.so", "abcd01") and wants("/opt/libown.so", "ef0123")
    assert not wants("/usr/lib/libother.so", "ef0123") and not wants("/opt/libcoreclr.so", None)
    assert not any(wants(f"/lib/{name}", "abcd01") for name in ("libc.so.6", "ld-linux-x86-64.so.2", "libpthread.so.0"))


def test_help_imports_nothing_heavy() -> None:
    names = imports("--help")
    assert not [n for n in names if n.split(".")[0] in HEAVY]
    assert not [n for n in names if n.startswith(("dumpwalk.analysis", "dumpwalk.core", "dumpwalk.report"))]


def test_one_core_imports_nothing_that_it_does_not_need() -> None:
    names = imports("analyze", str(unpack_core("native-three")))
    assert "dumpwalk.report.text_page" in names
    assert not [n for n in names if n.split(".")[0] in HEAVY]


# --- the measuring itself


def test_a_run_tells_the_cost_of_the_processes_below_it_too() -> None:
    work = "import os; b = b'x' * (60 << 20); [sum(range(100000)) for _ in range(60)]"
    below = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}]); sys.exit(7 * (not sys.stdin.read()))"
    idle, busy = measure.run([sys.executable, "-c", "pass"]), measure.run([sys.executable, "-c", below])
    assert (idle.code, busy.code) == (0, 7), "and standard input is at its end"
    assert busy.cpu > idle.cpu and busy.peak > 60


def test_tools_take_turns_and_warm_ups_are_not_counted(tmp_path: Path) -> None:
    turns: List[str] = []
    commands = {name: [sys.executable, "-c", "pass"] for name in "ab"}
    found = measure.alternate(commands, 3, told=turns.append)
    assert {name: len(samples) for name, samples in found.items()} == {"a": 3, "b": 3}
    assert sorted(turns) == ["a"] * 4 + ["b"] * 4 and turns[:2] != turns[2:4]


def test_ratios_are_taken_round_by_round() -> None:
    ours = [measure.Sample(wall, wall, 1, 0) for wall in (1, 20, 3)]
    theirs = [measure.Sample(wall, wall, 2, 0) for wall in (2, 40, 3)]
    assert measure.ratio(ours, theirs, "wall") == measure.Spread(0.5, 0.5, 1.0)
