"""The runtime is found where the dump's list of files is lost, cut, or wrong in one letter; "no runtime" is said after a search."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator, Tuple

import pytest

from tests.conftest import ROOT, truth_of, unpack_core

NT_FILE = 0x46494C45


def _notes(data: bytearray) -> Iterator[Tuple[int, int, int, int]]:
    """(position, type, description, its size) of each note of an ELF core."""
    (table,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    for index in range(count):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", data, table + 56 * index)
        at = offset
        while kind == 4 and at + 12 <= offset + size:
            owner, length, note = struct.unpack_from("<III", data, at)
            body = at + 12 + ((owner + 3) & ~3)
            yield at, note, body, length
            at = body + ((length + 3) & ~3)


def _offset(data: bytearray, address: int) -> int:
    """Where in the file the dump has an address."""
    (table,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    for index in range(count):
        kind, _, offset, start, _, size = struct.unpack_from("<IIQQQQ", data, table + 56 * index)
        if kind == 1 and start <= address < start + size:
            return offset + address - start
    raise LookupError(hex(address))


def _lost(data: bytearray, at: int, body: int, length: int) -> None:
    struct.pack_into("<I", data, at + 8, 0x1234)


def _count_wrong(data: bytearray, at: int, body: int, length: int) -> None:
    struct.pack_into("<Q", data, body, 3)


def _one_bit(data: bytearray, at: int, body: int, length: int) -> None:
    place, found = body, 0
    while (place := data.find(b"libcoreclr.so", place, body + length)) >= 0:
        data[place + 5] ^= 4
        place, found = place + 5, found + 1
    assert found


def _damaged(name: str, how: Callable[[bytearray, int, int, int], None], folder: Path) -> Path:
    data = bytearray(unpack_core(name).read_bytes())
    at, _, body, length = next(note for note in _notes(data) if note[1] == NT_FILE)
    how(data, at, body, length)
    path = folder / "damaged.core"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("how", [_lost, _count_wrong, _one_bit])
def test_a_hang_is_explained_whatever_became_of_the_list_of_files(how: Callable, tmp_path: Path) -> None:
    name = "hang-self-kernel"
    core = _damaged(name, how, tmp_path)
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)

    assert (done.returncode, report["verdict"]["signature"]) == (10, "4fd21060")
    assert report["runtime"]["version"].startswith("3.1") and report["runtime"]["located_by"] == "version string"
    truth = truth_of(name)
    assert report["dispatch_cache"]["cycles"][0]["nodes"][0]["address"] == truth["cycle"][0]
    modules = next(c for c in report["coverage"] if c["area"] == "modules")
    if how is not _one_bit:
        assert modules["status"] != "complete" and "list" in modules["why"]


def test_a_process_without_net_is_said_to_have_none_after_a_search() -> None:
    from tests.real_cores import analyze

    code, report, _ = analyze("native-convoy")
    assert code == 0 and "no .NET runtime" in report["verdict"]["sentence"]


def test_traces_alone_are_no_runtime_and_no_comfort(tmp_path: Path) -> None:
    """A version string of .NET in a program that has no image of it: never "nothing stuck"."""
    data = bytearray(unpack_core("waits/idle-server").read_bytes())
    mark = b"@(#)Version 9.0.525.21509 @Commit: e36e4d1a"
    place = _offset(data, int(truth_of("waits/idle-server")["objects"]["queue_filled"]["address"], 16))
    data[place : place + len(mark)] = mark
    core = tmp_path / "traces.core"
    core.write_bytes(data)
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 12, json.loads(done.stdout)["verdict"]
