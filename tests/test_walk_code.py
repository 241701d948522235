"""Chain-walk loops recognised in machine code; the encodings are those of real images, one compiler habit each."""

from __future__ import annotations

import mmap
import random
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import pytest

from dumpwalk.core.arch import Arch, arch_for
from dumpwalk.core.memory import BytesMemory
from dumpwalk.coreclr.dispatch import loops as walk_code
from dumpwalk.coreclr.dispatch.loops import WalkLoop, scan, walk_loop_at
from fixtures import packages

X64 = arch_for("linux", "x86_64")
ARM64 = arch_for("linux", "aarch64")
AT = 0x7F0000401000

# mov rsi,[r12]; mov rdi,[r12+8]; (hash); then the loop of Insert in 8 to 10, entered at its second instruction
INSERT_X64 = bytes.fromhex("498b3424498b7c2408 eb04 488b4018 493b8668800000 741f 483930 75ee 48397808 75e8 31d2")
INSERT_31 = bytes.fromhex("488b4018483b83b880000074134839307 5ee4839480875e8b001".replace(" ", ""))
LOOKUP_31 = bytes.fromhex("48390a75064839720874 0e488b5218483b97b880000075e8c3".replace(" ", ""))
CACHE_LOOKUP_X64 = bytes.fromhex("488b7618483bb168800000740f48391675ee48397e0875e8488b4610")
GET_TARGET_X64 = bytes.fromhex("488b4918483b8868800000741a4c393175ee4c39790875e8")
STUB_LINUX_X64 = bytes.fromhex("488b40184885c0742d483b1075f24c3b500875ec")
STUB_DARWIN_X64 = bytes.fromhex("488b40184885c00f8431000000483b1075ee4c3b500875e8")
PROMOTE_X64 = bytes.fromhex("488b09488b51184883c1184c39f275f0 498b5618 488911 498b4cc768 49894e18 4d8974c768")
# movz w11,#0x8068; b +8; the loop of Insert on Linux arm64
INSERT_ARM64_WORDS = (
    0xA94032AD, 0x52900D0B, 0x14000002, 0x910061CE, 0xC8DFFDCE, 0xF86B6A6F, 0xEB0E01FF, 0x540002A0, 0xF94001CF,
    0xEB0D01FF, 0x54FFFF21, 0xF94005CF, 0xEB0C01FF, 0x54FFFEC1, 0x2A1F03E8,
)  # fmt: skip
PROMOTE_ARM64_WORDS = (
    0x9101A269, 0x12002D08, 0x8B284D2A, 0xC8DFFD4A, 0xEB0A029F, 0x540001E0, 0x9100614A, 0xC8DFFD4B, 0xEB0B029F,
    0x540000A0, 0x9100616A, 0xC8DFFD4B, 0xEB0B029F, 0x54FFFFA1, 0xF9400E8B, 0x8B080D2C, 0xF900014B, 0xC8DFFD8A,
    0xF9000E8A, 0xF8287934,
)  # fmt: skip
STUB_ARM64_WORDS = (
    0xF9400D29, 0xF100013F, 0x54000240, 0xA9404530, 0xEB0D021F, 0x54FFFF61, 0xEB0C023F, 0x54FFFF21,
)  # fmt: skip


def words(values: Sequence[int]) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def at(code: bytes, pc: int, arch: Arch = X64) -> Optional[WalkLoop]:
    return walk_loop_at(BytesMemory([(AT, code)]), arch, AT + pc)


def test_insert_x64_names_its_registers_at_every_instruction() -> None:
    boundaries = [11, 15, 22, 24, 27, 29, 33]
    for pc in range(len(INSERT_X64)):
        loop = at(INSERT_X64, pc)
        assert (loop is not None) == (pc in boundaries), pc
        if loop is None:
            continue
        assert (loop.start, loop.end) == (AT + 11, AT + 35)
        assert loop.cursors == (("rax", 0),)
        assert (loop.this, loop.mt, loop.token, loop.element) == ("r14", "rsi", "rdi", "r12")
        assert (loop.empty_offset, loop.table_offset) == (0x8068, 0x68)
        assert loop.function == walk_code.INSERT and loop.holds_lock is True


@pytest.mark.parametrize(
    ("code", "function", "cursor", "this", "mt", "token", "empty"),
    [
        (INSERT_31, walk_code.INSERT, "rax", "rbx", "rsi", "rcx", 0x80B8),
        (LOOKUP_31, walk_code.LOOKUP, "rdx", "rdi", "rcx", "rsi", 0x80B8),
        (CACHE_LOOKUP_X64, walk_code.CACHE_LOOKUP, "rsi", "rcx", "rdx", "rdi", 0x8068),
        (GET_TARGET_X64, walk_code.GET_TARGET, "rcx", "rax", "r14", "r15", 0x8068),
        (STUB_LINUX_X64, walk_code.CHAIN_STUB, "rax", None, "rdx", "r10", None),
        (STUB_DARWIN_X64, walk_code.CHAIN_STUB, "rax", None, "rdx", "r10", None),
    ],
    ids=["insert-3.1", "lookup-3.1", "cache-lookup", "get-target", "stub-linux", "stub-darwin"],
)
def test_other_x64_loops(code, function, cursor, this, mt, token, empty) -> None:
    loop = at(code, 0)
    assert loop is not None
    assert loop.function == function
    assert loop.cursors == ((cursor, 0),)
    assert (loop.this, loop.mt, loop.token, loop.empty_offset) == (this, mt, token, empty)
    assert loop.holds_lock is (function == walk_code.INSERT)
    assert [found.start for found in scan(b"\x90" * 7 + code, "x86_64", AT)] == [AT + 7]


def test_promote_x64_knows_where_the_cursor_points_at_each_step() -> None:
    wanted = {
        0: (("rcx", 0x18), ("rdx", 0)),
        3: (("rcx", 0),),
        7: (("rcx", 0), ("rdx", 0)),
        11: (("rcx", 0x18), ("rdx", 0)),
        14: (("rcx", 0x18), ("rdx", 0)),
    }
    for pc, cursors in wanted.items():
        loop = at(PROMOTE_X64, pc)
        assert loop is not None and loop.cursors == cursors
        assert (loop.this, loop.element, loop.empty_offset) == ("r15", "r14", 0x8068)
        assert loop.function == walk_code.PROMOTE_ENTRY and loop.holds_lock is True
    loop = at(PROMOTE_X64, 11)
    assert loop is not None
    assert loop.nodes({"rcx": 0x1018, "rdx": 0x2000}) == [0x1000, 0x2000]
    assert loop.cache({"r15": 0x5000}) == 0x5000
    assert at(PROMOTE_X64, 16) is None


def test_insert_arm64() -> None:
    code = words(INSERT_ARM64_WORDS)
    for index in range(len(INSERT_ARM64_WORDS)):
        loop = at(code, 4 * index, ARM64)
        assert (loop is not None) == (3 <= index < 14), index
        if loop is None:
            continue
        assert loop.cursors == (("x14", 0x18 if index == 4 else 0),)
        assert (loop.this, loop.mt, loop.token, loop.element) == ("x19", "x13", "x12", "x21")
        assert (loop.empty_offset, loop.empty_register) == (0x8068, "x11")
        assert loop.function == walk_code.INSERT


def test_promote_and_stub_arm64() -> None:
    code = words(PROMOTE_ARM64_WORDS)
    loop = at(code, 4 * 12, ARM64)
    assert loop is not None and loop.kind == walk_code.PROMOTE
    assert (loop.this, loop.element, loop.table_register, loop.empty_offset) == ("x19", "x20", "x9", 0x8068)
    assert loop.cursors == (("x10", 0x18), ("x11", 0))
    without_this = {"x9": 0x9068}
    assert WalkLoop(**{**loop.__dict__, "this": None}).cache(without_this) == 0x9000
    stub = at(words(STUB_ARM64_WORDS), 8, ARM64)
    assert stub is not None and stub.function == walk_code.CHAIN_STUB
    assert (stub.cursors, stub.mt, stub.token) == ((("x9", 0),), "x13", "x12")
    assert stub.holds_lock is False


def test_another_register_allocation_is_still_a_walk_but_not_named() -> None:
    # cursor r12 (needs a SIB byte), this rbp, mt r8, token rbx: nothing of a known function
    code = bytes.fromhex("4d8b642418 4c3ba568800000 7420 4d390424 75ec 49395c2408 75e5")
    loop = at(code, 5)
    assert loop is not None
    assert loop.cursors == (("r12", 0),)
    assert (loop.this, loop.mt, loop.token, loop.empty_offset) == ("rbp", "r8", "rbx", 0x8068)
    assert loop.function is None and loop.holds_lock is None


@pytest.mark.parametrize(
    "code",
    [
        INSERT_31.replace(b"\x75\xee", b"\x75\xed"),  # jumps into the middle of an instruction
        INSERT_31[:2] + b"\x48\x18" + INSERT_31[4:],  # loads another register than it compares
        INSERT_31.replace(b"\xb8\x80\x00\x00", b"\xb8\x00\x00\x00"),  # `empty` inside the table
        INSERT_31[:20],
        INSERT_31.replace(b"\x74\x13", b"\x74\x03"),  # leaves the loop into the loop
    ],
)
def test_near_misses_are_no_loops(code: bytes) -> None:
    assert at(code, 0) is None
    assert scan(code, "x86_64") == []


def test_code_that_was_not_captured_gives_none() -> None:
    assert walk_loop_at(BytesMemory([]), X64, AT) is None
    assert walk_loop_at(BytesMemory([(AT, INSERT_31[:10])]), X64, AT + 4) is None
    loop = walk_loop_at(BytesMemory([(AT, INSERT_31[:24])]), X64, AT + 4)
    assert loop is not None and loop.element is None  # nothing before and after the loop was captured


def test_random_bytes_never_raise() -> None:
    rng = random.Random(7)
    for _ in range(300):
        noise = bytearray(rng.randbytes(200))
        noise[90 : 90 + len(INSERT_31)] = INSERT_31
        noise[rng.randrange(200)] ^= 1 << rng.randrange(8)
        for arch in (X64, ARM64):
            memory = BytesMemory([(AT, bytes(noise))])
            for pc in range(80, 130):
                walk_loop_at(memory, arch, AT + pc)
            scan(bytes(noise), arch.name)


NAMES = [
    walk_code.PROMOTE_ENTRY, walk_code.INSERT, walk_code.CACHE_LOOKUP, walk_code.LOOKUP, walk_code.GET_TARGET,
    walk_code.CHAIN_STUB,
]  # fmt: skip
IMAGES = {
    "dotnet-3.1.23-linux-x64": ("shared/Microsoft.NETCore.App/3.1.23/libcoreclr.so", "x86_64", 0x80B8),
    "dotnet-3.1.23-osx-x64": ("shared/Microsoft.NETCore.App/3.1.23/libcoreclr.dylib", "x86_64", 0x80D0),
    "sarif-5.7.0-linux": ("Sarif.Multitool", "x86_64", 0x80B0),
    "sarif-5.7.0-darwin": ("Sarif.Multitool", "x86_64", 0x80C8),
    "azmcp-0.5.0-linux-x64": ("libcoreclr.so", "x86_64", 0x80B0),
    "azmcp-2.0.5-linux-x64": ("azmcp", "x86_64", 0x8068),
    "azmcp-2.0.5-linux-arm64": ("azmcp", "aarch64", 0x8068),
    "azmcp-2.0.5-darwin-x64": ("azmcp", "x86_64", 0x8088),
    "azmcp-2.0.5-darwin-arm64": ("azmcp", "aarch64", 0x8088),
}


@pytest.mark.images
@pytest.mark.parametrize("key", sorted(IMAGES))
def test_real_images_hold_each_walker_once(key: str) -> None:
    name, machine, empty = IMAGES[key]
    path = Path(packages.runtime_folder(key)) / name
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        text = bytes(whole[: 32 << 20])
    found: Dict[str, List[WalkLoop]] = {}
    for loop in scan(text, machine):
        found.setdefault(str(loop.function), []).append(loop)
    assert sorted(found) == sorted(NAMES)
    assert all(len(loops) == 1 for loops in found.values())
    assert {loops[0].empty_offset for loops in found.values()} == {empty, None}  # None: the stub knows no `empty`
    assert found[walk_code.INSERT][0].element is not None
