"""Which runtime: found by name, by createdump's record, by exports and by scanning; versions from each source."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Optional, Sequence

import pytest

from dumpwalk.core.corefile import CoreImage
from dumpwalk.core.memory import BytesMemory
from dumpwalk.coreclr.open_image import open_image
from dumpwalk.coreclr.runtime import RuntimeInfo, identify
from fixtures import packages
from tests.coreclr_images import BASE, elf_image, module, process

VERSION = b"@(#)Version %s @Commit: 0123456789abcdef0123456789abcdef01234567\0"
EXPORTS = {"g_dacTable": (0x4000, 0x408), "DotNetRuntimeContractDescriptor": (0x5000, 0x28)}
SHARED = "/usr/share/dotnet/shared/Microsoft.NETCore.App/10.0.12/libcoreclr.so"


def info_struct(numbers: Sequence[int], version: int = 2) -> bytes:
    head = b"DotNetRuntimeInfo\0\0\0" + struct.pack("<i", version)
    return head.ljust(0x60, b"\xaa") + struct.pack("<4i", *numbers)


def found(info: Optional[RuntimeInfo]) -> RuntimeInfo:
    assert info is not None
    return info


def test_shared_runtime_by_name_with_its_version_string_in_the_dump() -> None:
    image = elf_image(EXPORTS, [(0x3000, VERSION % b"10.0.1226.42308")])
    libc = module("/lib/x86_64-linux-gnu/libc.so.6", base=0x7F0000000000)
    info = found(identify(process(BytesMemory([(BASE, image)]), [libc, module(SHARED)])))
    assert (info.name, info.version, info.file_version) == (".NET", "10.0.12", "10.0.1226.42308")
    assert (info.located_by, info.flavour, info.base, info.libc) == ("name", "shared", BASE, "glibc")
    assert info.version_source == "version string in the dump"
    assert info.build_id == "11" * 20
    assert info.dac_table == (BASE + 0x4000, 0x408)
    assert info.contract_address == BASE + 0x5000
    assert info.major == 10 and info.notes == []


def test_single_file_host_is_found_by_what_it_exports() -> None:
    numbers = info_struct((8, 0, 3026, 36720))
    image = elf_image({"g_dacTable": (0x4000, 0x4E8), "DotNetRuntimeInfo": (0x3000, 0x70)}, [(0x3000, numbers)])
    other = elf_image({"main": (0x4000, 8)})
    memory = BytesMemory([(BASE, image), (0x7F0000000000, other)])
    modules = [module("/lib/libother.so", base=0x7F0000000000), module("/app/tool")]
    info = found(identify(process(memory, modules)))
    assert (info.version, info.version_source) == ("8.0.30", "DotNetRuntimeInfo")
    assert (info.located_by, info.flavour, info.module) == ("exports", "single-file", "/app/tool")
    assert info.contract_address is None


def test_version_1_of_the_struct_has_no_version_and_the_string_tells() -> None:
    numbers = info_struct((0x11111111,) * 4, version=1)
    contents = [(0x3000, numbers), (0x3800, VERSION % b"6.0.3624.51421")]
    image = elf_image({"g_dacTable": (0x4000, 0x2C0), "DotNetRuntimeInfo": (0x3000, 0x60)}, contents)
    info = found(identify(process(BytesMemory([(BASE, image)]), [module("/app/tool")])))
    assert (info.version, info.version_source) == ("6.0.36", "version string in the dump")


def test_without_a_module_list_createdumps_record_leads_there() -> None:
    image = elf_image({**EXPORTS, "coreclr_initialize": (0x6000, 8)})
    info = found(identify(process(BytesMemory([(BASE, image)]), runtime_base=BASE)))
    assert (info.located_by, info.base, info.flavour, info.module) == ("diaginfo", BASE, "shared", None)
    assert (info.version, info.version_source) == ("10.0", "size of g_dacTable")


def test_without_any_list_image_headers_are_scanned() -> None:
    memory = BytesMemory([(0x1000, b"\0" * 64), (0x7F0000000000, elf_image({})), (BASE, elf_image(EXPORTS))])
    info = found(identify(process(memory)))
    assert (info.located_by, info.base) == ("scan", BASE)


def test_the_cores_own_image_list_serves_where_the_debugger_has_no_modules() -> None:
    memory = BytesMemory([(BASE, elf_image(EXPORTS))])
    images = [CoreImage("/lib/ld-musl-x86_64.so.1", 0x1000), CoreImage(SHARED, BASE)]
    info = found(identify(process(memory, images=images)))
    assert (info.located_by, info.version, info.libc) == ("name", "10.0.12", "musl")
    assert info.version_source == "path"


def test_sources_that_contradict_are_told_and_the_path_is_not_believed() -> None:
    image = elf_image({"g_dacTable": (0x4000, 0x4F0)}, [(0x3000, VERSION % b"8.0.3126.42015")])
    info = found(identify(process(BytesMemory([(BASE, image)]), [module(SHARED)], runtime_base=0x5000)))
    assert info.version == "8.0.31"
    notes = " | ".join(info.notes)
    assert "path says 10.0.12, but version string in the dump says 8.0.31" in notes
    assert "size of g_dacTable says 9.0" in notes
    assert "recorded the runtime at 0x5000" in notes


@pytest.mark.parametrize(
    ("text", "version", "name"),
    [
        (b"12.0.126.27901", "12.0.1", ".NET"),
        (b"11.0.26.27272", "11.0.0", ".NET"),
        (b"5.0.1722.21314", "5.0.17", ".NET"),
        (b"4.700.22.11601", "3.1", ".NET Core"),
        (b"4.700.19.46205", "3.0", ".NET Core"),
    ],
)
def test_versions_are_taken_as_they_are(text: bytes, version: str, name: str) -> None:
    image = elf_image({}, [(0x3000, b"@(#)Version no number\0" + VERSION % text)])
    info = found(identify(process(BytesMemory([(BASE, image)]), [module("/opt/rt/libcoreclr.so")])))
    assert (info.version, info.name) == (version, name)


def test_patch_of_3_1_comes_from_the_path() -> None:
    image = elf_image({}, [(0x3000, VERSION % b"4.700.22.11601")])
    path = "/dn/shared/Microsoft.NETCore.App/3.1.23/libcoreclr.so"
    info = found(identify(process(BytesMemory([(BASE, image)]), [module(path)])))
    assert (info.version, info.version_source) == ("3.1.23", "version string in the dump, path")
    assert info.notes == []


def test_an_image_without_a_symbol_table_is_known_by_its_descriptors() -> None:
    contents = [(0x3000, info_struct((10, 0, 926, 27113))), (0x3801, b"DNCCDAC\0"), (0x3880, b"DNCCDAC\0")]
    memory = BytesMemory([(0x7F0000000000, elf_image({})), (BASE, elf_image({}, contents))])
    modules = [module("/lib/libother.so", base=0x7F0000000000), module("/app/tool")]
    for listed, how in ((modules, "contents"), ([], "scan")):
        info = found(identify(process(memory, listed)))
        assert (info.located_by, info.base, info.flavour) == (how, BASE, "single-file")
        assert (info.version, info.version_source) == ("10.0.9", "DotNetRuntimeInfo")
        assert info.contract_address == BASE + 0x3880  # the aligned one


def test_a_runtime_whose_pages_are_all_missing_is_still_named() -> None:
    info = found(identify(process(BytesMemory([]), [module("/opt/rt/libcoreclr.so")])))
    assert (info.base, info.flavour, info.version, info.build_id) == (BASE, "shared", None, None)
    assert (info.dac_table, info.contract_address, info.libc) == (None, None, None)


def test_two_runtimes_are_told() -> None:
    second = 0x7F5500000000
    memory = BytesMemory([(BASE, elf_image(EXPORTS)), (second, elf_image(EXPORTS))])
    info = found(identify(process(memory, [module(SHARED), module("/b/libcoreclr.so", base=second)])))
    assert info.base == BASE and info.others == [second]
    assert any(f"0x{second:x}" in note for note in info.notes)


def test_a_mismatched_file_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "libcoreclr.so"
    file.write_bytes(elf_image(EXPORTS, [(0x3000, VERSION % b"9.0.2026.41315")]))
    for match, version in (("matched", "9.0.20"), ("mismatched", None)):
        row = module("/opt/rt/libcoreclr.so", file=str(file), match=match)
        info = found(identify(process(BytesMemory([]), [row])))
        assert info.version == version
        assert (info.file is not None) == (match == "matched")


def test_a_native_process_has_no_runtime() -> None:
    memory = BytesMemory([(BASE, elf_image({"main": (0x4000, 8)}))])
    assert identify(process(memory, [module("/usr/bin/native")])) is None
    assert identify(process(BytesMemory([]))) is None


def test_damaged_headers_never_raise() -> None:
    good = elf_image(EXPORTS, [(0x3000, VERSION % b"10.0.1226.42308")])
    for at in range(0, 0x2000, 3):
        for value in (0x00, 0xFF, 0x80):
            bad = bytearray(good)
            bad[at] = value
            identify(process(BytesMemory([(BASE, bytes(bad))]), [module(SHARED)]))


REAL = {
    "dotnet-3.1.23-linux-x64": ("shared/Microsoft.NETCore.App/3.1.23/libcoreclr.so", "3.1.23", "shared", False),
    "azmcp-0.5.0-linux-x64": ("libcoreclr.so", "9.0.5", "shared", True),
    "azmcp-2.0.5-linux-x64": ("azmcp", "10.0.9", "single-file", True),
    "azmcp-2.0.5-darwin-x64": ("azmcp", "10.0.9", "single-file", True),
    "azmcp-2.0.5-darwin-arm64": ("azmcp", "10.0.9", "single-file", True),
    "sarif-5.7.0-linux": ("Sarif.Multitool", "8.0.30", "single-file", False),
    "sarif-5.7.0-darwin": ("Sarif.Multitool", "8.0.30", "single-file", False),
}


@pytest.mark.images
@pytest.mark.parametrize("key", sorted(REAL))
def test_real_images_from_their_files_alone(key: str) -> None:
    name, version, flavour, has_contract = REAL[key]
    file = str(Path(packages.runtime_folder(key)) / name)
    path = "/x/" + (name if "/" in name else f"app/{name}")
    os = "macos" if "darwin" in key else "linux"
    row = module(path.replace("shared/", "dotnet/shared/"), file=file, match="matched")
    info = found(identify(process(BytesMemory([]), [row], os=os)))
    assert (info.version, info.flavour) == (version, flavour)
    assert (info.contract_address is not None) == has_contract
    image = open_image(BytesMemory([]), BASE, file)
    assert image is not None and image.build_id() == info.build_id
    if version != "3.1.23":
        assert info.dac_table is not None
