"""The assembly stub of macOS x64 images: in one piece, taken apart, fixed, or not known."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Dict, Optional

import pytest

from dumpwalk.core.memory import BytesMemory
from dumpwalk.coreclr.dispatch.stub_image_check import StubImageCheck, check_stub_image
from dumpwalk.coreclr.runtime import identify
from fixtures import packages
from tests.coreclr_images import BASE, module, process

STUB = 0x1200
INTACT = {"MainLoop_RWCLAS": 0x11, "Success_RWCLAS": 0x29, "Promote_RWCLAS": 0x41, "Fail_RWCLAS": 0x4F}
VMADDR = 0x100000000


def macho(symbols: Dict[str, int]) -> bytes:
    """__TEXT at 4 GB with the header, __LINKEDIT behind it with the symbol table."""
    names, table = b"\0", b""
    for name, value in symbols.items():
        table += struct.pack("<IBBHQ", len(names), 0x0E, 1, 0, VMADDR + value)
        names += name.encode() + b"\0"
    linkedit = table + names

    def segment(name: bytes, address: int, size: int, offset: int, length: int, protection: int) -> bytes:
        return struct.pack("<II16sQQQQIIII", 0x19, 72, name, address, size, offset, length, 7, protection, 0, 0)

    commands = [
        segment(b"__PAGEZERO", 0, VMADDR, 0, 0, 0),
        segment(b"__TEXT", VMADDR, 0x2000, 0, 0x2000, 5),
        segment(b"__DATA", VMADDR + 0x2000, 0x1000, 0x2000, 0x1000, 3),
        segment(b"__LINKEDIT", VMADDR + 0x3000, 0x4000, 0x3000, len(linkedit), 1),
        struct.pack("<IIIIII", 2, 24, 0x3000, len(symbols), 0x3000 + len(table), len(names)),
        struct.pack("<II16s", 0x1B, 24, b"\xab" * 16),
    ]
    body = b"".join(commands)
    header = struct.pack("<IIIIIIII", 0xFEEDFACF, 0x01000007, 3, 6, len(commands), len(body), 0, 0)
    return (header + body).ljust(0x3000, b"\0") + linkedit


def check(image: bytes, os: str = "macos", arch: str = "x86_64") -> Optional[StubImageCheck]:
    row = module("/opt/rt/libcoreclr.dylib")
    proc = process(BytesMemory([(BASE, image)] if image else []), [row], os=os, arch=arch)
    runtime = identify(proc)
    assert runtime is not None
    return check_stub_image(proc, runtime)


def labels(deltas: Dict[str, int]) -> Dict[str, int]:
    return {"_ResolveWorkerChainLookupAsmStub": STUB, **{name: STUB + delta for name, delta in deltas.items()}}


def test_one_piece() -> None:
    found = check(macho(labels(INTACT)))
    assert found is not None
    assert (found.status, found.deltas) == ("intact", INTACT)
    assert "says nothing of" in found.meaning


def test_taken_apart_by_the_linker() -> None:
    found = check(macho(labels({**INTACT, "Success_RWCLAS": 0x40, "Fail_RWCLAS": -0x30})))
    assert found is not None and found.status == "broken"
    assert "Success_RWCLAS +0x40 instead of +0x29" in found.sentence
    assert "Fail_RWCLAS -0x30 instead of +0x4f" in found.sentence
    assert "129531" in found.meaning and "does not show" in found.meaning


def test_fixed_source_has_no_labels() -> None:
    found = check(macho(labels({})))
    assert found is not None and found.status == "absent"


@pytest.mark.parametrize("image", [macho({"_main": 0x1000}), macho({}), b""])
def test_what_cannot_be_told_is_unknown(image: bytes) -> None:
    found = check(image)
    assert found is not None and found.status == "unknown"
    assert "not known" in found.meaning


def test_some_labels_are_no_proof_of_either() -> None:
    found = check(macho(labels({"MainLoop_RWCLAS": 0x11})))
    assert found is not None and found.status == "unknown" and "Fail_RWCLAS" in found.sentence


def test_it_applies_to_macos_x64_only() -> None:
    assert check(macho(labels(INTACT)), arch="aarch64") is None
    assert check(macho(labels(INTACT)), os="linux") is None


REAL = {
    "dotnet-3.1.23-osx-x64": "shared/Microsoft.NETCore.App/3.1.23/libcoreclr.dylib",
    "sarif-5.7.0-darwin": "Sarif.Multitool",
    "azmcp-2.0.5-darwin-x64": "azmcp",
}


def real(key: str, content: Optional[Path] = None) -> StubImageCheck:
    path = content or Path(packages.runtime_folder(key)) / REAL[key]
    row = module("/x/" + Path(REAL[key]).name, file=str(path), match="matched")
    proc = process(BytesMemory([]), [row], os="macos")
    runtime = identify(proc)
    assert runtime is not None
    found = check_stub_image(proc, runtime)
    assert found is not None
    return found


@pytest.mark.images
@pytest.mark.parametrize("key", sorted(REAL))
def test_real_images_are_in_one_piece(key: str) -> None:
    found = real(key)
    assert (found.status, found.deltas) == ("intact", INTACT)


@pytest.mark.images
def test_a_real_image_with_one_label_moved_is_broken(tmp_path: Path) -> None:
    key = "dotnet-3.1.23-osx-x64"
    data = bytearray((Path(packages.runtime_folder(key)) / REAL[key]).read_bytes())
    at = _nlist_value_offset(bytes(data), b"Promote_RWCLAS")
    (value,) = struct.unpack_from("<Q", data, at)
    struct.pack_into("<Q", data, at, value + 0x10)
    copy = tmp_path / "libcoreclr.dylib"
    copy.write_bytes(data)
    found = real(key, copy)
    assert found.status == "broken" and found.deltas["Promote_RWCLAS"] == 0x51
    assert "Promote_RWCLAS +0x51 instead of +0x41" in found.sentence


def _nlist_value_offset(data: bytes, name: bytes) -> int:
    """File offset of n_value of a symbol, by walking the load commands and the whole table."""
    at = 32
    for _ in range(struct.unpack_from("<I", data, 16)[0]):
        command, size = struct.unpack_from("<II", data, at)
        if command == 2:
            table, count, strings, _ = struct.unpack_from("<IIII", data, at + 8)
            for index in range(count):
                (start,) = struct.unpack_from("<I", data, table + 16 * index)
                if data[strings + start : strings + start + len(name) + 1] == name + b"\0":
                    return table + 16 * index + 8
        at += size
    raise AssertionError("no such symbol")
