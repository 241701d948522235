"""Archives cannot write outside, temporary files are private, outputs follow no link, the dump is only read."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Dict, List

import pytest

from tests.attacks import HANG, NATIVE, folders, run
from tests.broken_lldb import break_lldb
from tests.conftest import ROOT, unpack_core


@pytest.fixture
def place(tmp_path):
    return folders(tmp_path)


# Archives.


def escapes(place: Path) -> Dict[str, str]:
    name = "libcoreclr.dylib"
    return {
        "up": f"../../../../../../../../{place}/out/{name}",
        "absolute": f"{place}/out/{name}",
        "windows": f"..\\..\\{place}\\out\\{name}",
        "plain": f"a/b/{name}",
        "dots": "..",
        "hidden": "x/../../../.lldbinit",
    }


BODY = b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03\0\0\0\x06\0\0\0" + bytes(4096)


def test_members_of_a_zip_cannot_escape(place):
    archive = place / "evil.zip"
    with zipfile.ZipFile(archive, "w") as sink:
        for name in escapes(place).values():
            sink.writestr(name, BODY)
        link = zipfile.ZipInfo("libcoreclr.dylib")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        sink.writestr(link, str(place / "out" / "libcoreclr.dylib") + " " * 64)
    check_archive(place, archive)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.xz"])
def test_members_of_a_tar_cannot_escape(place, ending):
    import io

    archive = place / f"evil.{ending}"
    with tarfile.open(archive, f"w:{ending[4:]}") as sink:  # type: ignore[call-overload]
        for kind, target in ((tarfile.SYMTYPE, str(place / "out")), (tarfile.LNKTYPE, "/etc/passwd")):
            link = tarfile.TarInfo("libcoreclr.dylib")
            link.type, link.linkname = kind, target
            sink.addfile(link)
        directory = tarfile.TarInfo("link")
        directory.type, directory.linkname = tarfile.SYMTYPE, str(place / "out")
        sink.addfile(directory)
        for name in [*escapes(place).values(), "link/libcoreclr.dylib"]:
            member = tarfile.TarInfo(name)
            member.size = len(BODY)
            member.mode = 0o6777
            sink.addfile(member, io.BytesIO(BODY))
        for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            device = tarfile.TarInfo("libclrjit.dylib")
            device.type, device.devmajor, device.devminor = kind, 1, 5
            sink.addfile(device)
    check_archive(place, archive)


def check_archive(place: Path, archive: Path) -> None:
    before = everything(place)
    done = run(place, "analyze", "-m", archive, unpack_core(HANG))
    assert done.returncode == 10, done.stderr
    assert everything(place) == before


def everything(place: Path) -> List[str]:
    return sorted(str(p.relative_to(place)) for p in place.rglob("*"))


# Files.


def test_temporary_files_are_private_and_removed(place):
    env = break_lldb(place, "load", "hang")
    packed = ROOT / "fixtures" / "cores" / f"{NATIVE}.core.xz"
    script = Path(sys.executable).with_name("dumpwalk")
    process = subprocess.Popen(
        [str(script), "analyze", "--timeout", "6", str(packed)],
        cwd=place / "here", env={**os.environ, "TMPDIR": str(place / "tmp"), **env}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, umask=0,
    )  # fmt: skip
    end = time.monotonic() + 30
    while not (place / "log").exists() and time.monotonic() < end:
        time.sleep(0.02)
    found = list((place / "tmp").rglob("*"))
    modes = {p.name: stat.S_IMODE(p.lstat().st_mode) for p in found}
    process.communicate(timeout=60)
    assert process.returncode == 10
    assert "core" in modes
    for path in found:
        assert modes[path.name] & 0o077 == 0, (path, oct(modes[path.name]))
    assert list((place / "tmp").iterdir()) == []


def test_the_dump_and_its_folder_are_not_written_to(place):
    folder = place / "read-only"
    folder.mkdir()
    core = folder / "x.core"
    shutil.copy(unpack_core(NATIVE), core)
    before = (core.stat().st_mtime_ns, core.stat().st_size, sorted(os.listdir(folder)))
    core.chmod(0o400)
    folder.chmod(0o500)
    try:
        assert run(place, "analyze", "--sha256", core).returncode == 10
        assert (core.stat().st_mtime_ns, core.stat().st_size, sorted(os.listdir(folder))) == before
    finally:
        folder.chmod(0o700)


def test_an_output_does_not_follow_a_link(place):
    victim = place / "victim"
    victim.write_text("precious", encoding="utf-8")
    target = place / "out" / "r.md"
    target.symlink_to(victim)
    assert run(place, "analyze", unpack_core(NATIVE), "-o", target).returncode == 10
    assert victim.read_text(encoding="utf-8") == "precious"
    assert not target.is_symlink() and "lock-cycle" in target.read_text(encoding="utf-8")
    assert sorted(p.name for p in (place / "out").iterdir()) == ["r.md"]


def test_the_part_file_of_an_output_cannot_be_guessed_or_followed(place, monkeypatch):
    from dumpwalk.errors import BadOutput
    from dumpwalk.front import output

    victim = place / "victim"
    victim.write_text("precious", encoding="utf-8")
    monkeypatch.setattr("os.urandom", bytes)
    (place / "out" / "r.md.0000000000000000.part").symlink_to(victim)
    with pytest.raises(BadOutput):
        output.write(str(place / "out" / "r.md"), "overwritten")
    assert victim.read_text(encoding="utf-8") == "precious"
    assert (place / "out" / "r.md.0000000000000000.part").is_symlink(), "what is not ours stays"
