"""The macOS cores against readers that know nothing of their writer: lldb, LLVM's object reader, plain struct."""

from __future__ import annotations

import functools
import hashlib
import json
import lzma
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest

from fixtures.hash import bucket_of
from fixtures.macho import make, scenarios

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "fixtures" / "cores" / "macho"
NAMES = [scenario.name for scenario in scenarios.ALL if scenario.committed]
READOBJ = ("llvm-readobj-22", "llvm-readobj", "llvm-readobj-19", "llvm-readobj-14")
SLOTS = 4096
LC_THREAD, LC_SEGMENT_64, LC_NOTE = 0x4, 0x19, 0x31
SEED = {"address": "0x10c887480", "mt": "0x104ce34d0", "token": "0x200000001", "target": "0x592ff3a80"}


def truth_of(name: str) -> Dict[str, Any]:
    return json.loads((FOLDER / f"{name}.truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def cores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with all committed cores, unpacked."""
    folder = tmp_path_factory.mktemp("macho")
    for name in NAMES:
        (folder / f"{name}.core").write_bytes(lzma.decompress((FOLDER / f"{name}.core.xz").read_bytes()))
    return folder


@functools.cache
def lldb_python() -> Tuple[str, Dict[str, str]]:
    """The Python that imports this machine's lldb by itself, and the environment that shows it the way."""
    from dumpwalk.debugger.discovery import discover

    found = discover()
    assert found.python_executable and found.pythonpath, found
    return found.python_executable, {**os.environ, "PYTHONPATH": found.pythonpath}


def lldb_sees(path: Path, modules: Optional[Path] = None, read: Sequence[Tuple[int, int]] = ()) -> Dict[str, Any]:
    """What lldb makes of a core, from a process of its own."""
    python, environment = lldb_python()
    options = json.dumps({"modules": str(modules) if modules else None, "read": list(read)})
    command = [python, str(ROOT / "fixtures" / "macho" / "lldb_probe.py"), str(path), options]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def commands(data: bytes) -> List[Tuple[int, int, int]]:
    """(command, offset, size) of every load command."""
    count, size = struct.unpack_from("<II", data, 16)
    found, offset = [], 32
    for _ in range(count):
        command, length = struct.unpack_from("<II", data, offset)
        found.append((command, offset, length))
        offset += length
    assert offset == 32 + size, "sizeofcmds is not the sum of the commands"
    return found


def segments(data: bytes) -> List[Tuple[int, int, int, int]]:
    """(address, size in memory, file offset, size in file) of every segment."""
    return [struct.unpack_from("<4Q", data, offset + 24) for c, offset, _ in commands(data) if c == LC_SEGMENT_64]


def memory(data: bytes, address: int, size: int) -> bytes:
    """Bytes at an address, straight from the file."""
    for start, length, offset, _ in segments(data):
        if start <= address and address + size <= start + length:
            return data[offset + address - start : offset + address - start + size]
    raise AssertionError(f"{address:#x} is not in the core")


def words(data: bytes, address: int, count: int) -> Tuple[int, ...]:
    return struct.unpack(f"<{count}Q", memory(data, address, 8 * count))


def module_folder(name: str) -> Path:
    return make.image_for(scenarios.BY_NAME[name]).parent


@pytest.mark.images
@pytest.mark.parametrize("name", ["incident-x64-10.0.9", "incident-arm64-10.0.9", "incident-x64-3.1.23"])
def test_the_writer_makes_the_committed_bytes_again(name: str, cores: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.core"
    described = make.write_core(scenarios.BY_NAME[name], again)
    assert again.read_bytes() == (cores / f"{name}.core").read_bytes()
    assert described == truth_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_truth_names_the_bytes_it_belongs_to(name: str, cores: Path) -> None:
    data = (cores / f"{name}.core").read_bytes()
    truth = truth_of(name)
    assert (truth["sha256"], truth["size_bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))


def test_all_committed_cores_stay_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.xz")) < 2 << 20


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_shaped_as_createdump_shapes_it(name: str, cores: Path) -> None:
    data = (cores / f"{name}.core").read_bytes()
    truth = truth_of(name)
    kinds = [command for command, _, _ in commands(data)]
    note = truth["special"]["process_metadata_note"]
    assert kinds == sorted(kinds), "threads first, then segments, then the note"
    assert (kinds.count(LC_THREAD), kinds.count(LC_NOTE)) == (32, 1 if note else 0)
    assert all(length == filed for _, length, _, filed in segments(data))
    assert [s[0] for s in segments(data)][-1] == int(truth["special"]["threadinfo"], 16)
    end = max(offset + filed for _, _, offset, filed in segments(data))
    assert (end < len(data)) if note else (end == len(data))
    sizes = {size for command, _, size in commands(data) if command == LC_THREAD}
    assert sizes == {720 if truth["arch"] == "x86_64" else 832}


@pytest.mark.parametrize("name", NAMES)
def test_llvm_reads_the_segments(name: str, cores: Path, tmp_path: Path) -> None:
    """LLVM knows all but the floating-point state that createdump writes; with the threads hidden it reads the rest."""
    tool = next(filter(None, map(shutil.which, READOBJ)), None)
    if not tool:
        pytest.skip("llvm-readobj is not installed")
    path = cores / f"{name}.core"
    data = bytearray(path.read_bytes())
    whole = subprocess.run([tool, "--file-headers", str(path)], capture_output=True, text=True, check=False)
    flavor = 5 if truth_of(name)["arch"] == "x86_64" else 17
    assert f"unknown flavor ({flavor}) for flavor number 1" in whole.stderr
    for command, offset, _size in commands(bytes(data)):
        if command == LC_THREAD:
            struct.pack_into("<I", data, offset, 0x7F)
    hidden = tmp_path / "hidden.core"
    hidden.write_bytes(data)
    done = subprocess.run([tool, "--file-headers", "--macho-segment", str(hidden)], capture_output=True, text=True)
    assert done.returncode == 0 and "FileType: Core (0x4)" in done.stdout
    seen = [line.split()[1].lower() for line in done.stdout.splitlines() if line.strip().startswith("vmaddr:")]
    assert seen == [hex(address) for address, _, _, _ in segments(bytes(data))]


@pytest.mark.parametrize("name", NAMES)
def test_threadinfo_and_diaginfo(name: str, cores: Path) -> None:
    data = (cores / f"{name}.core").read_bytes()
    truth = truth_of(name)
    info = memory(data, int(truth["special"]["threadinfo"], 16), 24 + 16 * 32)
    assert struct.unpack_from("<16sII", info) == (b"THREADINFO".ljust(16, b"\0"), truth["pid"], 32)
    pairs = [struct.unpack_from("<I4xQ", info, 24 + 16 * index) for index in range(32)]
    assert pairs == [(t["tid"] & 0xFFFFFFFF, int(t["sp"], 16)) for t in truth["threads"]]
    diag = memory(data, int(truth["special"]["diaginfo"], 16), 40)
    head, version, record, base = struct.unpack("<16si4xQQ", diag)
    assert (head.rstrip(b"\0"), version, record) == (b"DIAGINFOHEADER", 2, 0)
    assert base == int(truth["runtime"]["base"], 16)
    assert memory(data, base, 4) == bytes.fromhex("cffaedfe")


@pytest.mark.parametrize("name", NAMES)
def test_lldb_sees_the_threads_the_images_and_the_cache(name: str, cores: Path) -> None:
    path = cores / f"{name}.core"
    truth = truth_of(name)
    chain = truth["chain"]
    seen = lldb_sees(path, None, [(int(element["address"], 16), 32) for element in chain])
    assert [t["frames"][0]["pc"] for t in seen["threads"]] == [int(t["frames"][0]["pc"], 16) for t in truth["threads"]]
    assert [t["sp"] for t in seen["threads"]] == [int(t["sp"], 16) for t in truth["threads"]]
    if truth["special"]["process_metadata_note"]:
        assert [t["tid"] for t in seen["threads"]] in (truth["tids"], list(range(32)))  # lldb before 19: index only
    images = {(m["path"], m["load_address"]) for m in seen["modules"]}
    assert {(i["path"], int(i["load_address"], 16)) for i in truth["images"]} <= images
    own = next(m for m in seen["modules"] if m["path"] == truth["module"]["path_in_core"])
    assert own["uuid"] == truth["module"]["uuid"]
    for element, raw in zip(chain, seen["memory"]):
        assert struct.unpack("<4Q", bytes.fromhex(raw)) == tuple(
            int(element[key], 16) for key in ("mt", "token", "target", "next")
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_element_is_in_the_bucket_of_its_key(name: str, cores: Path) -> None:
    """Walks the whole table with another hash than the writer's own."""
    data = (cores / f"{name}.core").read_bytes()
    truth = truth_of(name)
    sentinel = int(truth["cache"]["sentinel"], 16)
    assert words(data, int(truth["cache"]["empty_slot"], 16), 1) == (sentinel,)
    damaged = truth["damage"]
    first = int(damaged["sentinel"]["mt"], 16) if damaged else 2**64 - 1
    assert words(data, sentinel, 4) == (first, 0, 0, 0)
    misplaced, visited = [], set()
    for bucket, node in enumerate(words(data, int(truth["cache"]["table"], 16), SLOTS)):
        while node != sentinel and node not in visited:
            visited.add(node)
            mt, token, _target, following = words(data, node, 4)
            if bucket_of(mt, token) != bucket:
                misplaced.append((hex(node), bucket, bucket_of(mt, token)))
            node = following
    assert len(visited) == truth["cache"]["elements"] > 300
    wrong = damaged.get("wrong_bucket")
    assert misplaced == ([(wrong["element"], wrong["bucket"], wrong["home"])] if wrong else [])


@pytest.mark.parametrize("name", NAMES)
def test_the_loop_is_the_one_in_the_truth(name: str, cores: Path) -> None:
    data = (cores / f"{name}.core").read_bytes()
    truth = truth_of(name)
    node = words(data, int(truth["cache"]["table"], 16) + 8 * truth["bucket"], 1)[0]
    walked: List[int] = []
    while node not in walked and node != int(truth["cache"]["sentinel"], 16):
        walked.append(node)
        node = words(data, node, 4)[3]
    assert [hex(n) for n in walked] == [e["address"] for e in truth["chain"]]
    if truth["cycle"] is None:
        assert hex(node) == truth["cache"]["sentinel"]
        return
    assert [hex(n) for n in walked[walked.index(node) :]] == [e["address"] for e in truth["cycle"]]
    assert [hex(n) for n in walked[: walked.index(node)]] == [e["address"] for e in truth["tail"]]
    seed = next(e for e in truth["cycle"] if e["address"] == SEED["address"])
    assert {key: seed[key] for key in SEED} == SEED


@pytest.mark.parametrize("name", NAMES)
def test_the_lock_names_its_owner_and_its_waiters(name: str, cores: Path) -> None:
    data = (cores / f"{name}.core").read_bytes()
    truth = truth_of(name)
    lock = int(truth["lock"]["address"], 16)
    flags = struct.unpack("<I", memory(data, int(truth["cache"]["table"], 16) - 8, 4))[0]
    owner = truth["lock"]["owner_tid"] or 0
    if truth["lock"]["implementation"] == "pal-critical-section":
        count, recursion, holder = struct.unpack("<iiQ", memory(data, lock + 8, 16))
        assert (flags, count, recursion, holder) == (0xC0000008, 16 << 2 | 1, 1, owner)
    else:
        lgen, ugen = struct.unpack("<II", memory(data, lock + 0x20, 8))
        assert flags == 0x80000008
        assert words(data, lock, 1) == (0x4D555458,)
        assert words(data, lock + 0x18, 1) == (owner,)
        assert bool(lgen & 2) == truth["lock"]["locked"]
        assert (lgen - ugen) >> 8 == truth["lock"]["waiter_count"] == len(truth["waiters"])
    if owner:
        assert truth["tids"][truth["lock"]["owner_index"] - 1] == owner
        assert truth["lock"]["owner_index"] == truth["spinner"]["index"] == 25


@pytest.mark.parametrize("name", [n for n in NAMES if scenarios.BY_NAME[n].hang])
def test_the_spinner_stands_in_the_loop_on_a_node_of_it(name: str, cores: Path) -> None:
    data = (cores / f"{name}.core").read_bytes()
    truth = truth_of(name)
    spinner = truth["spinner"]
    pc = int(spinner["pc"], 16)
    if truth["arch"] == "x86_64":
        assert memory(data, pc, 4) == bytes.fromhex("488b4018")  # mov rax,[rax+0x18]
    else:
        load, compare, branch = struct.unpack("<3I", memory(data, pc - 8, 12))
        assert load == 0xF940016F  # ldr x15,[x11]
        assert compare == 0xEB0D01FF and branch & 0xFF00001F == 0x54000001  # cmp x15,x13; b.ne
    assert spinner["cursor"] in [element["address"] for element in truth["cycle"]]
    assert bucket_of(int(spinner["search_mt"], 16), int(spinner["search_token"], 16)) == truth["bucket"]
    keys = {(element["mt"], element["token"]) for element in truth["chain"]}
    assert (spinner["search_mt"], spinner["search_token"]) not in keys, "the search would have ended"
    state = [offset + 16 for command, offset, _ in commands(data) if command == LC_THREAD][spinner["index"] - 1]
    place = {"rax": 0, "x11": 8 * 11}[spinner["cursor_register"]]
    assert struct.unpack_from("<Q", data, state + place)[0] == int(spinner["cursor"], 16)


@pytest.mark.images
@pytest.mark.parametrize("name", NAMES)
def test_frames_are_named_when_the_image_is_at_hand(name: str, cores: Path) -> None:
    """With the real image lldb unwinds by its tables: every frame must be where and what the truth says.

    lldb loses one frame at most, the caller of a system call stub: the stand-in libraries have no unwind tables.
    """
    truth = truth_of(name)
    seen = lldb_sees(cores / f"{name}.core", module_folder(name))
    for thread, expected in zip(seen["threads"], truth["threads"]):
        want = [(int(f["pc"], 16), f["function"].lstrip("_"), f["image"]) for f in expected["frames"]]
        own = {pc: name_ for pc, name_, image in want if image == truth["module"]["file_name"]}
        got = [frame["pc"] for frame in thread["frames"]]
        assert [pc for pc, _, _ in want if pc in got] == got, f"thread {expected['index']}"
        assert len(want) - len(got) <= 1
        named = {frame["pc"]: frame["function"] for frame in thread["frames"] if frame["pc"] in own}
        assert named == {pc: name_ for pc, name_ in own.items() if pc in got}
    if truth["spinner"]:
        spinner = seen["threads"][24]["frames"][0]
        assert spinner["function"] == truth["spinner"]["function"].lstrip("_")
        for waiter in truth["waiters"]:
            names = [frame["function"] for frame in seen["threads"][waiter["index"] - 1]["frames"]]
            assert "ZN8CrstBase5EnterEv" in names
            caller = names[names.index("ZN8CrstBase5EnterEv") + 1]
            assert caller.startswith("ZN13DispatchCache") and waiter["through"] in caller


def test_signed_return_addresses_are_signed(cores: Path) -> None:
    name = "incident-arm64-pac-10.0.9"
    data = (cores / f"{name}.core").read_bytes()
    checked = 0
    for thread in truth_of(name)["threads"]:
        frames = [f for f in thread["frames"] if int(f["fp"], 16)]
        for inner, outer in zip(frames, frames[1:]):
            saved = words(data, int(inner["fp"], 16) + 8, 1)[0]
            if inner["fp"] == outer["fp"]:
                continue  # a system call stub: no frame of its own
            assert saved & (1 << 47) - 1 == int(outer["pc"], 16) and saved >> 47
            checked += 1
    assert checked > 300
