"""The data contract, from memory and from a module file with its relocations, and all that may be wrong with it."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

from dumpwalk.core.memory import BytesMemory
from dumpwalk.coreclr.contract import ContractResult, read_contract
from dumpwalk.coreclr.runtime import identify
from dumpwalk.coreclr.runtime_view import read_runtime
from fixtures import packages
from tests.coreclr_images import BASE, elf_image, module, process

MAGIC = 0x0043414443434E44
HEADER, JSON_AT, POINTERS, SUB_HEADER, SUB_JSON, SUB_POINTERS = 0x2100, 0x3000, 0x2200, 0x2400, 0x5000, 0x2500
DOCUMENT: Dict[str, Any] = {
    "version": 0,
    "baseline": "empty",
    "types": {
        "Thread": {"!": 0x300, "Id": 16, "OSId": [296, "nuint"], "LinkNext": [112, "pointer"], "State": "0x0"},
        "ThreadStore": {"FirstThreadLink": 88, "ThreadCount": 112},
    },
    "globals": {
        "ThreadStore": [[1], "pointer"],
        "Untyped": [2],
        "RID": "1-musl-x64",
        "Mask": ["0x7", "uint8"],
        "Plain": 5,
        "Architecture": ["x64", "string"],
    },
    "contracts": {"Thread": 1, "Loader": "c1"},
}
SYMBOLS = {"DotNetRuntimeContractDescriptor": (HEADER, 40), "g_dacTable": (0x7000, 0x408)}


def header(size: int, count: int, text: int, pointers: int, magic: int = MAGIC, flags: int = 1) -> bytes:
    return struct.pack("<QIIQIIQ", magic, flags, size, text, count, 0, pointers)


def pieces(
    document: Any = DOCUMENT, slide: int = BASE, sub: Optional[Any] = None, **fields: int
) -> Tuple[List[Tuple[int, bytes]], List[Tuple[int, int]]]:
    """(contents, relocations) of an image with a descriptor: pointers relocated by `slide`, zero without it."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    targets = {HEADER + 16: JSON_AT, HEADER + 32: POINTERS, POINTERS + 8: 0x4100, POINTERS + 16: 0x4108}
    contents = [(JSON_AT, text), (HEADER, header(len(text), 4, 0, 0, **fields))]
    if sub is not None:
        sub_text = json.dumps(sub).encode()
        contents += [(SUB_JSON, sub_text), (SUB_HEADER, header(len(sub_text), 2, 0, 0))]
        # pointer_data[3] is the variable that holds the sub-descriptor's address
        targets.update({POINTERS + 24: 0x4200, 0x4200: SUB_HEADER, SUB_HEADER + 16: SUB_JSON})
        targets.update({SUB_HEADER + 32: SUB_POINTERS, SUB_POINTERS + 8: 0x4300})
    if slide:
        contents += [(at, struct.pack("<Q", slide + to)) for at, to in targets.items()]
    return contents, sorted(targets.items())


def read(image: bytes, file: Optional[str] = None, in_dump: bool = True) -> ContractResult:
    memory = BytesMemory([(BASE, image)] if in_dump else [])
    row = module("/opt/rt/libcoreclr.so", file=file, match="matched" if file else "missing")
    proc = process(memory, [row])
    runtime = identify(proc)
    assert runtime is not None
    return read_contract(proc, runtime)


def test_types_globals_and_constants() -> None:
    contents, _ = pieces()
    result = read(elf_image(SYMBOLS, contents))
    contract = result.contract
    assert contract is not None and result.why == ""
    assert contract.source == "dump"
    assert contract.types["Thread"].size == 0x300
    assert contract.types["Thread"].fields == {"Id": 16, "OSId": 296, "LinkNext": 112, "State": 0}
    assert contract.types["ThreadStore"].size is None
    assert contract.offset("ThreadStore", "ThreadCount") == 112
    assert contract.offset("Nothing", "Here") is None
    assert contract.addresses == {"ThreadStore": BASE + 0x4100, "Untyped": BASE + 0x4108}
    assert contract.values == {"RID": "1-musl-x64", "Mask": 7, "Plain": 5, "Architecture": "x64"}
    assert contract.contracts == {"Thread": "1", "Loader": "c1"}


def test_from_the_module_file_with_relocations_applied(tmp_path: Path) -> None:
    contents, relative = pieces(slide=0)
    file = tmp_path / "libcoreclr.so"
    file.write_bytes(elf_image(SYMBOLS, contents, relative=relative))
    contract = read(b"", file=str(file), in_dump=False).contract
    assert contract is not None
    assert contract.source == "module file"
    assert contract.addresses == {"ThreadStore": BASE + 0x4100, "Untyped": BASE + 0x4108}


def test_the_rid_tells_the_c_library_where_no_module_does() -> None:
    contents, _ = pieces()
    proc = process(BytesMemory([(BASE, elf_image(SYMBOLS, contents))]), [module("/opt/rt/libcoreclr.so")])
    view = read_runtime(proc)
    assert view.info is not None and view.info.libc is None
    assert view.libc == "musl" and {row.libc for row in view.layouts} <= {"musl", "any"}


@pytest.mark.parametrize("key", ["subDescriptors", "sub-descriptors"])
def test_sub_descriptors_of_11_are_merged(key: str) -> None:
    sub = {"types": {"GCHeap": {"A": 8}, "Thread": {"Extra": 24}}, "globals": {"Heap": [[1], "pointer"]}}
    contents, _ = pieces({**DOCUMENT, key: {"GC": [[3], "pointer"]}}, sub=sub)
    contract = read(elf_image(SYMBOLS, contents)).contract
    assert contract is not None
    assert contract.offset("GCHeap", "A") == 8
    assert contract.offset("Thread", "Extra") == 24 and contract.offset("Thread", "Id") == 16
    assert contract.addresses["Heap"] == BASE + 0x4300
    assert contract.notes == []


def test_a_sub_descriptor_that_is_not_published_is_told() -> None:
    contents, _ = pieces({**DOCUMENT, "subDescriptors": {"GC": [3]}})
    contract = read(elf_image(SYMBOLS, [*contents, (POINTERS + 24, struct.pack("<Q", BASE + 0x4200))])).contract
    assert contract is not None
    assert contract.notes == ["sub-descriptor GC is not published or not in the dump"]


def test_a_sub_descriptor_that_leads_back_ends() -> None:
    contents, _ = pieces({**DOCUMENT, "subDescriptors": {"GC": [3]}})
    back = [(POINTERS + 24, struct.pack("<Q", BASE + 0x4200)), (0x4200, struct.pack("<Q", BASE + HEADER))]
    assert read(elf_image(SYMBOLS, [*contents, *back])).contract is not None


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"magic": 0x1234}, "64-bit"), ({"flags": 3}, "64-bit"), ({"flags": 0}, "64-bit")],
)
def test_other_headers_are_refused(fields: Dict[str, int], word: str) -> None:
    contents, _ = pieces(**fields)
    result = read(elf_image(SYMBOLS, contents))
    assert result.contract is None and word in result.why


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 200_000 + b"]" * 200_000,
        b'{"types":' * 50_000 + b"1" + b"}" * 50_000,
        b"{" + b'"a":1,' * 10,
        b"\xff\xfe{}",
        b"[1,2]",
        b'{"globals":' + b"9" * 200_000,
    ],
    ids=["deep array", "deep object", "cut", "not utf-8", "not an object", "endless number"],
)
def test_hostile_json_is_damage_and_no_more(text: bytes) -> None:
    contents, _ = pieces(text)
    image = elf_image(SYMBOLS, contents, size=0x8000 + len(text))
    result = read(image)
    assert result.contract is None and "damaged" in result.why


def test_odd_values_are_left_out_and_nothing_else() -> None:
    odd = {
        "types": {"A": 5, "B": {"f": [], "g": [[]], "h": True, "i": -4, "j": 1 << 40, "k": 8.5, "l": 9}, "C": None},
        "globals": {"P": [[99], "pointer"], "Q": [[], "x"], "R": [], "S": {"a": 1}, "T": None, "U": [[0], "pointer"]},
        "contracts": [1, 2],
        "subDescriptors": 7,
    }
    contents, _ = pieces(odd)
    contract = read(elf_image(SYMBOLS, contents)).contract
    assert contract is not None
    assert contract.types["B"].fields == {"l": 9}
    assert contract.addresses == {} and contract.contracts == {}


@pytest.mark.parametrize(("size", "count"), [(1 << 31, 4), (0, 4), (100, 1 << 20)])
def test_absurd_sizes_are_refused(size: int, count: int) -> None:
    contents, _ = pieces()
    broken = [*contents, (HEADER, header(size, count, BASE + JSON_AT, BASE + POINTERS))]
    result = read(elf_image(SYMBOLS, broken))
    assert result.contract is None and "cannot be" in result.why


def test_without_any_copy_of_it_the_reason_is_told() -> None:
    result = read(elf_image({"g_dacTable": (0x4000, 0x408)}))
    assert result.contract is None and "DotNetRuntimeContractDescriptor" in result.why
    text = [(0x3000, b"@(#)Version 8.0.3026.36720 @Commit")]
    assert "no data contract" in read(elf_image({"g_dacTable": (0x4000, 0x4E8)}, text)).why


def test_flipped_bits_never_raise() -> None:
    contents, _ = pieces({**DOCUMENT, "subDescriptors": {"GC": [3]}}, sub={"types": {}})
    good = elf_image(SYMBOLS, contents)
    rng = random.Random(3)
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            at = rng.choice([rng.randrange(HEADER, HEADER + 0x500), rng.randrange(JSON_AT, JSON_AT + 900)])
            bad[at] = rng.randrange(256)
        read(bytes(bad))


REAL = {
    "azmcp-0.5.0-linux-x64": ("libcoreclr.so", 112, 296, 160),
    "azmcp-2.0.5-linux-x64": ("azmcp", 112, 296, 88),
    "azmcp-2.0.5-linux-arm64": ("azmcp", 152, 336, 88),
    "azmcp-2.0.5-darwin-x64": ("azmcp", 112, 296, 120),
    "azmcp-2.0.5-darwin-arm64": ("azmcp", 152, 336, 120),
}


@pytest.mark.images
@pytest.mark.parametrize("key", sorted(REAL))
def test_contracts_of_real_images_from_their_files(key: str) -> None:
    name, link, os_id, first = REAL[key]
    file = str(Path(packages.runtime_folder(key)) / name)
    row = module("/x/" + name, file=file, match="matched")
    proc = process(BytesMemory([]), [row], os="macos" if "darwin" in key else "linux")
    runtime = identify(proc)
    assert runtime is not None
    contract = read_contract(proc, runtime).contract
    assert contract is not None and contract.source == "module file"
    assert contract.offset("Thread", "LinkNext") == link
    assert contract.offset("Thread", "OSId") == os_id
    assert contract.offset("ThreadStore", "FirstThreadLink") == first
    low, high = runtime.image.span()
    store = contract.addresses["ThreadStore"]
    assert any(s.writable and s.start <= store < s.end for s in runtime.image.segments)
    assert all(low <= address < high for address in contract.addresses.values())
