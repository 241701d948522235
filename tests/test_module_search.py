"""The process's own binaries are found by build-id wherever they are, another build's never, and archives stay shut in."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path
from struct import pack
from typing import Any, Dict, List, Optional, Tuple

import pytest

from dumpwalk import limits
from dumpwalk.binaries.index import ModuleIndex, identity_of
from dumpwalk.binaries.search import Match, ModuleSearch, fetch_command
from dumpwalk.core.corefile import CoreFile, CoreImage
from dumpwalk.dump.preflight import open_core
from tests import elfwriter as w
from tests import machowriter
from tests.conftest import CORES, unpack_core

RIGHT, WRONG = b"\xaa" * 20, b"\xbb" * 20
BASE = 0x400000
NAME = "libnative.so"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders `core`, `m` and `tmp`; temporary files go to the last."""
    for name in ("core", "m", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def core_of(places: Path, path: str = "/gone/" + NAME, image: Optional[bytes] = None) -> CoreFile:
    """A core with one library mapped at BASE, of which the first page is captured."""
    data = w.image(RIGHT) if image is None else image
    files = w.nt_file((BASE, BASE + 0x2000, 0, path.encode()))
    loads = [w.Load(BASE, data[:0x1000], 0x2000, "rx"), *w.stacks(2)]
    return open_core(w.write(places / "core", w.createdump(files=files, loads=loads)))


def put(place: Path, data: bytes = w.image(RIGHT), name: str = NAME) -> str:
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(data)
    return str(place / name)


def find(core: CoreFile, *paths: Path) -> Match:
    with ModuleSearch(core, [str(p) for p in paths]) as search:
        return search.find(core.images[0])


def test_in_a_folder_below_the_given_one(places: Path) -> None:
    file = put(places / "m" / "a" / "b")
    assert find(core_of(places), places / "m") == Match(file, "matched", RIGHT.hex())


def test_a_single_file(places: Path) -> None:
    file = put(places / "m", name="renamed")
    assert find(core_of(places), Path(file)).file == file


def test_another_name_with_the_same_build_id(places: Path) -> None:
    file = put(places / "m", name="libnative.so.6.0.30")
    assert find(core_of(places), places / "m").file == file


def test_another_build_is_told_and_not_used(places: Path) -> None:
    wrong = put(places / "m", w.image(WRONG))
    assert find(core_of(places), places / "m") == Match(None, "mismatched", RIGHT.hex(), other=wrong)
    put(places / "m", w.image(None))
    assert find(core_of(places), places / "m").match == "mismatched", "no build-id where the core has one"


def test_the_search_goes_on_behind_another_build(places: Path) -> None:
    put(places / "m" / "1", w.image(WRONG))
    file = put(places / "m" / "2")
    assert find(core_of(places), places / "m") == Match(file, "matched", RIGHT.hex())


def test_order_of_places(places: Path) -> None:
    recorded = put(places / "recorded")
    core = core_of(places, recorded)
    assert find(core).file == recorded
    beside = put(places / "core")
    assert find(core).file == beside
    given = put(places / "m")
    assert find(core, places / "m").file == given


def test_recorded_path_of_another_build_is_never_used(places: Path) -> None:
    recorded = put(places / "recorded", w.image(WRONG))
    assert find(core_of(places, recorded)) == Match(None, "mismatched", RIGHT.hex(), other=recorded)


def test_recorded_path_of_a_deleted_file(places: Path) -> None:
    recorded = put(places / "recorded")
    assert find(core_of(places, recorded + " (deleted)")).file == recorded


def test_missing(places: Path) -> None:
    assert find(core_of(places), places / "m") == Match(None, "missing", RIGHT.hex())
    put(places / "m", b"not an image")
    assert find(core_of(places), places / "m").match == "missing"


def test_without_a_build_id_the_first_page_decides(places: Path) -> None:
    image = w.image(None)
    core = core_of(places, image=image)
    assert core.images[0].build_id is None
    file = put(places / "m", image)
    assert find(core, places / "m") == Match(file, "matched", None)
    other = bytearray(image)
    other[0x28] ^= 1  # the offset of its sections
    put(places / "m", bytes(other))
    assert find(core, places / "m").match == "mismatched"
    unseen = CoreImage(core.images[0].path, 0x900000)
    with ModuleSearch(core, [str(places / "m")]) as search:
        assert search.find(unseen) == Match(None, "unverified", None)


def test_debug_files_are_not_taken_for_the_module(places: Path) -> None:
    debug = bytearray(w.image(RIGHT))
    debug[64 + 56 + 32 : 64 + 56 + 40] = bytes(8)  # its code segment has no bytes in the file
    put(places / "m", bytes(debug))
    assert find(core_of(places), places / "m").match == "missing"


def test_vdso_is_in_no_file(places: Path) -> None:
    core = core_of(places)
    with ModuleSearch(core, []) as search:
        assert search.find(CoreImage("[vdso]", 0x7000, None, "aa")) == Match(None, "unverified", "aa")


def test_memory_is_the_file_s_read_only_bytes_at_the_load_address(places: Path) -> None:
    put(places / "m", w.image(RIGHT, text=b"CODE" * 16))
    core = core_of(places)
    with ModuleSearch(core, [str(places / "m")]) as search:
        image = core.images[0]
        memory = search.memory(image, search.find(image))
        assert memory is not None
        assert memory.read(BASE + 0x1000, 8) == b"CODECODE" and memory.read(BASE, 4) == b"\x7fELF"
        assert memory.read(BASE - 1, 1) is None and memory.read(BASE + 0x2000, 1) is None
        assert memory.read(BASE + 0x1FFF, 2) is None
        assert search.memory(image, Match(None, "mismatched", None)) is None


def test_writable_segments_are_not_served(places: Path) -> None:
    data = bytearray(w.image(RIGHT))
    data[64 + 56 + 4] = 6  # the second segment is rw
    data[64 + 4] = 5
    put(places / "m", bytes(data))
    core = core_of(places)
    with ModuleSearch(core, [str(places / "m")]) as search:
        memory = search.memory(core.images[0], search.find(core.images[0]))
        assert memory is not None and memory.read(BASE, 4) and memory.read(BASE + 0x1000, 4) is None


def test_hostile_folders(places: Path) -> None:
    (places / "m" / "loop").symlink_to(places / "m")
    (places / "m" / "self").symlink_to("self")
    os.mkfifo(places / "m" / NAME)
    (places / "m" / "d").mkdir()
    (places / "m" / "d" / NAME).symlink_to("/dev/zero")
    file = put(places / "m" / "e")
    assert find(core_of(places), places / "m").file == file


def test_depth_and_count_are_bounded(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(places / "m" / "1" / "2" / "3")
    monkeypatch.setattr(limits, "MODULE_DEPTH", 2)
    assert find(core_of(places), places / "m").match == "missing"
    monkeypatch.setattr(limits, "MODULE_DEPTH", 3)
    for number in range(5):
        put(places / "m" / "0", b"x", f"file{number}")
    monkeypatch.setattr(limits, "MODULE_FILES", 2)
    with ModuleSearch(core_of(places), [str(places / "m")]) as search:
        assert search.notes and "only 2 files" in search.notes[0]


def test_paths_that_do_not_exist_or_cannot_be_read(places: Path) -> None:
    core = core_of(places)
    os.mkfifo(places / "pipe")
    with ModuleSearch(core, [str(places / "none"), str(places / "pipe"), str(places / "m")]) as search:
        missing, pipe = search.notes
    assert missing.endswith("none, given as modules, does not exist") and "neither a folder nor a regular file" in pipe


def zip_of(members: Dict[str, bytes], links: Tuple[str, ...] = ()) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd".ljust(100))
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tar_of(members: Dict[str, bytes], mode: str = "w:gz", odd: Tuple[Tuple[str, bytes], ...] = ()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, kind in odd:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


MEMBERS = {
    "docs/readme.txt": b"x" * 5000,
    f"runtimes/linux-x64/native/{NAME}": w.image(RIGHT),
    "lib/other.so": w.image(WRONG),
}


@pytest.mark.parametrize(
    "name, data",
    [
        ("modules.zip", zip_of(MEMBERS)),
        ("package.nupkg", zip_of(MEMBERS)),
        ("modules.tar", tar_of(MEMBERS, "w")),
        ("modules.tar.gz", tar_of(MEMBERS, "w:gz")),
        ("modules.tar.bz2", tar_of(MEMBERS, "w:bz2")),
        ("modules.tar.xz", tar_of(MEMBERS, "w:xz")),
        ("no-name-at-all", tar_of(MEMBERS, "w:xz")),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_archives(places: Path, name: str, data: bytes) -> None:
    core = core_of(places)
    with ModuleSearch(core, [put(places / "m", data, name)]) as search:
        match = search.find(core.images[0])
        assert match.match == "matched" and match.file is not None
        assert os.path.basename(match.file) == NAME and Path(match.file).read_bytes() == w.image(RIGHT)
        unpacked = [p for p in (places / "tmp").rglob("*") if p.is_file()]
        assert [p.name for p in unpacked] == [NAME], "nothing else is unpacked"
        assert stat.S_IMODE(next((places / "tmp").iterdir()).stat().st_mode) == 0o700
    assert not list((places / "tmp").iterdir())


def test_a_renamed_member_is_found_by_its_build_id(places: Path) -> None:
    core = core_of(places)
    archive = put(places / "m", zip_of({"x/whatever": w.image(RIGHT)}), "a.zip")
    with ModuleSearch(core, [archive]) as search:
        assert search.find(core.images[0]).match == "matched"


@pytest.mark.parametrize(
    "evil", [f"/abs/{NAME}", f"../../../../{NAME}", f"..\\..\\{NAME}", f"a/../../{NAME}", "..", f"\x1b{NAME}"]
)
def test_member_names_cannot_escape(places: Path, evil: str) -> None:
    core = core_of(places)
    before = sorted(str(p) for p in places.rglob("*"))
    for data in (zip_of({evil: w.image(RIGHT)}), tar_of({evil: w.image(RIGHT)})):
        archive = put(places / "m", data, "a")
        with ModuleSearch(core, [archive]) as search:
            match = search.find(core.images[0])
            assert match.file is not None, "the bytes are good whatever the name"
            assert os.path.realpath(match.file).startswith(os.path.realpath(places / "tmp") + os.sep)
            assert not os.path.islink(match.file)
        os.unlink(archive)
    assert sorted(str(p) for p in places.rglob("*")) == before
    assert not os.path.exists(f"/abs/{NAME}")


def test_links_and_devices_in_archives_are_left_out(places: Path) -> None:
    core = core_of(places)
    odd = (
        (NAME, tarfile.SYMTYPE),
        (f"a/{NAME}", tarfile.LNKTYPE),
        (f"b/{NAME}", tarfile.FIFOTYPE),
        (f"c/{NAME}", tarfile.CHRTYPE),
    )
    for data in (tar_of({}, "w", odd), zip_of({}, (NAME,))):
        archive = put(places / "m", data, "a")
        with ModuleSearch(core, [archive]) as search:
            assert search.find(core.images[0]).match == "missing"
            assert not list((places / "tmp").iterdir())


def test_archive_bounds(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = core_of(places)
    big = {NAME: w.image(RIGHT) + bytes(50 << 20)}
    monkeypatch.setattr(limits, "UNPACKED_BYTES", 1 << 20)
    for data in (zip_of(big), tar_of(big)):
        with ModuleSearch(core, [put(places / "m", data, "a")]) as search:
            assert search.find(core.images[0]).match == "missing" and "too large" in search.notes[0]
            assert not [p for p in (places / "tmp").rglob("*") if p.is_file()]
    monkeypatch.setattr(limits, "ARCHIVE_BYTES", 1 << 20)
    with ModuleSearch(core, [put(places / "m", tar_of({"x": bytes(2 << 20), **MEMBERS}), "a")]) as search:
        assert search.notes
    monkeypatch.setattr(limits, "ARCHIVE_MEMBERS", 1)
    with ModuleSearch(core, [put(places / "m", zip_of(MEMBERS), "a")]) as search:
        assert "only 1 members" in search.notes[0]


def test_damaged_archives_end_in_a_note_at_most(places: Path) -> None:
    core = core_of(places)
    notes = 0
    for data in (zip_of(MEMBERS), tar_of(MEMBERS, "w"), tar_of(MEMBERS, "w:gz"), tar_of(MEMBERS, "w:xz")):
        for position in range(0, len(data), max(1, len(data) // 40)):
            damaged = bytearray(data)
            damaged[position] ^= 0xFF
            for version in (bytes(damaged), data[:position]):
                if not version:
                    continue
                with ModuleSearch(core, [put(places / "m", version, "a")]) as search:
                    match = search.find(core.images[0])
                    assert match.match in ("matched", "missing", "mismatched")
                    notes += bool(search.notes)
    assert notes > 20 and not list((places / "tmp").iterdir())


def test_unpacked_files_are_gone_when_a_later_path_breaks(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = put(places / "m", zip_of(MEMBERS), "a.zip")
    real = ModuleIndex.add

    def add(self: ModuleIndex, path: str) -> None:
        real(self, path)
        if path.endswith("none2"):
            raise KeyboardInterrupt

    monkeypatch.setattr(ModuleIndex, "add", add)
    (places / "none2").mkdir()
    with pytest.raises(KeyboardInterrupt):
        ModuleSearch(core_of(places), [archive, str(places / "none2")])
    assert not list((places / "tmp").iterdir())


def test_members_of_one_name_are_not_all_unpacked(places: Path) -> None:
    """Each costs a file that has to be removed again within the time limit; files of the process's own build go first."""
    many = zip_of({**{f"d{i}/{NAME}": w.image(WRONG) for i in range(100)}, f"last/{NAME}": w.image(RIGHT)})
    with ModuleSearch(core_of(places), [put(places / "m", many, "a.zip")]) as search:
        assert len(list((places / "tmp").rglob(NAME))) == limits.MEMBERS_OF_A_NAME + 1
        assert search.find(core_of(places).images[0]).match == "matched"


def test_a_search_that_takes_too_long_is_ended_with_a_note(places: Path) -> None:
    archive = put(places / "m", zip_of(MEMBERS), "a.zip")
    with ModuleSearch(core_of(places), [archive], seconds=0) as search:
        assert search.notes == ("looking for module files took too long and was ended early",)


def fat(slices: List[Tuple[Tuple[int, int], bytes]]) -> bytes:
    head, blobs, offset = pack(">LL", 0xCAFEBABE, len(slices)), b"", 0x4000
    for (cpu, sub), data in slices:
        head += pack(">LLLLL", cpu, sub, offset, len(data), 14)
        blobs += data.ljust(0x4000, b"\0")
        offset += 0x4000
    return head.ljust(0x4000, b"\0") + blobs


def test_mach_o_slices(places: Path) -> None:
    uuid = bytes(range(16))
    linked, base = 0x1_0000_0000, 0x1_0123_4000
    program = machowriter.image(2, uuid, text=linked, data=linked + 0x100000)
    other = machowriter.image(2, b"O" * 16, text=linked, data=linked + 0x100000)
    stack = machowriter.Region(0x7000_0000_0000, bytes(0x4000))
    regions = [stack, machowriter.Region(base, program, 5)]
    core = open_core(
        w.write(places / "core", machowriter.core([machowriter.thread_x64(stack.start + 0x2000)], regions))
    )
    image = core.images[0]
    assert image.build_id == uuid.hex() and image.base == base
    path = put(places / "m", fat([(machowriter.ARM64, other), (machowriter.X64, program)]), "anything")
    assert identity_of(path) == ((b"O".hex() * 16, uuid.hex()), True)
    with ModuleSearch(core, [str(places / "m")]) as search:
        match = search.find(image)
        assert match == Match(path, "matched", uuid.hex())
        memory = search.memory(image, match)
        assert memory is not None and memory.read(base, 64) == program[:64]
        assert memory.read(base + 0x100000, 1) is None, "data is never taken from the file"
    put(places / "m", other, "anything")
    assert find(core, places / "m").match == "missing"


def test_fetch_commands() -> None:
    clr = fetch_command("/usr/share/dotnet/shared/x/10.0.0/libcoreclr.so", "AB" * 20, "linux", "/tmp/my core")
    key = f"libcoreclr.so/elf-buildid-{'ab' * 20}/libcoreclr.so"
    assert clr == f"dumpwalk analyze '/tmp/my core' --fetch  # {key}"
    mac = fetch_command("/app/libcoreclr.dylib", "cd" * 16, "macos", "core")
    assert mac is not None and f"libcoreclr.dylib/mach-uuid-{'cd' * 16}/" in mac
    assert fetch_command("/lib/libc.so.6", "ab", "linux", "c") == "debuginfod-find executable ab"
    assert fetch_command("/lib/libcoreclr.so", None, "linux", "c") is None
    assert fetch_command("/usr/lib/libz.dylib", "ab", "macos", "c") is None
    assert fetch_command("/home/me/program", "ab", "linux", "c") is None


def test_module_files_that_lie(places: Path) -> None:
    """Mutated images never raise; what they say is compared like anything else."""
    import random

    core = core_of(places)
    images = [
        w.image(RIGHT),
        machowriter.image(6, b"U" * 16, name=b"x"),
        fat([(machowriter.X64, machowriter.image(6, b"U" * 16))]),
    ]
    for number in range(300):
        rng = random.Random(number)
        data = bytearray(rng.choice(images))
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(0x300)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        put(places / "m", bytes(data[: rng.choice((len(data), rng.randrange(1, 600)))]))
        with ModuleSearch(core, [str(places / "m")]) as search:
            match = search.find(core.images[0])
            memory = search.memory(core.images[0], match)
            assert match.match in ("matched", "mismatched", "missing")
            if memory is not None:
                memory.read(BASE, 16)


@pytest.mark.may_skip  # libc6-dbg of the C library that the committed core ran on
def test_debug_files_of_this_machine_give_file_and_line_where_they_are_asked_for(dumpwalk_command: Any) -> None:
    core, own = unpack_core("native-abba"), ("-m", str(CORES / "bin"))
    modules = json.loads(dumpwalk_command("analyze", core, *own, "-f", "json", "--exit-zero").stdout)["modules"]
    (build_id,) = (m["build_id"] for m in modules if m["path"].endswith("/libc.so.6"))
    if not Path(f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug").is_file():
        pytest.skip("no debug file of that C library on this machine")
    plain = dumpwalk_command("threads", core, *own).stdout
    asked = dumpwalk_command("threads", core, *own, "--debug-files").stdout
    frame = re.search(r"libc\.so\.6 +__futex_abstimed_wait_common\+0x[0-9a-f]+ at nptl/futex-internal\.c:\d+", asked)
    assert frame and " at nptl/" not in plain
    assert re.search(r"libc\.so\.6 +\(no symbol\) \+0x[0-9a-f]+", plain), "module and offset where there is no symbol"
