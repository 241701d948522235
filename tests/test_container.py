"""Compressed cores: the same core comes out, bounded, private and gone afterwards."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict

import pytest

from dumpwalk import limits
from dumpwalk.dump import container
from dumpwalk.dump.preflight import open_core, opened_core
from dumpwalk.errors import CannotDecompress, DumpwalkError, MalformedCore, NotACore
from tests import elfwriter as w

CORE = w.createdump(loads=[*w.stacks(2), w.Load(0x10000000, bytes(3 << 20)), w.Load(0x20000000, b"end" * 100)])
"""Mostly zeros, as real cores are."""


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def zstd(data: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("no zstd program here")
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


PACKERS: Dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda data: zipped(**{"../../etc/core": data, "readme.txt": b"x" * 100}),
    "zstd": zstd,
}


@pytest.fixture(autouse=True)
def temporary_files_go_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.mark.parametrize("how", PACKERS)
def test_the_same_core_comes_out(tmp_path: Path, how: str) -> None:
    plain = open_core(w.write(tmp_path, CORE, "plain"))
    path = w.write(tmp_path, PACKERS[how](CORE), "packed")
    with opened_core(path) as core:
        assert Path(core.file).read_bytes() == CORE
        assert os.stat(core.file).st_blocks * 512 < len(CORE) / 2, "holes where the zeros are"
        folder = Path(core.file).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert core.path == path and core.notes[0].startswith("decompressed ") and how in core.notes[0]
        assert replace(core, path="", file="", notes=()) == replace(plain, path="", file="", notes=())
        first = core.notes
    assert not folder.exists() and not list((tmp_path / "tmp").iterdir())
    with opened_core(path) as again:
        assert again.notes == first, "the same bytes each time"


@pytest.mark.parametrize("how", PACKERS)
def test_a_cut_stream_gives_what_came_out(tmp_path: Path, how: str) -> None:
    noise = os.urandom(1 << 19)  # so that the compressed form is long enough to be cut in the middle
    packed = PACKERS[how](w.createdump(loads=[*w.stacks(2), w.Load(0x10000000, noise * 4 if how == "xz" else noise)]))
    path = w.write(tmp_path, packed[: len(packed) * 9 // 10])
    if how == "zip":  # its table of members stands at the end
        with pytest.raises(CannotDecompress), opened_core(path):
            pass
        return
    try:
        with opened_core(path) as core:
            assert core.truncated and core.missing_bytes > 0 and len(core.threads) == 2
            assert "cut or damaged" in core.notes[0]
    except (CannotDecompress, NotACore):
        assert how == "bzip2", "only its large blocks may leave nothing"
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("how", ["gzip", "bzip2", "xz", "zstd"])
def test_damage_never_escapes(tmp_path: Path, how: str) -> None:
    packed = bytearray(PACKERS[how](CORE))
    for position in range(4, len(packed), max(1, len(packed) // 25)):
        damaged = bytearray(packed)
        damaged[position] ^= 0xFF
        try:
            with opened_core(w.write(tmp_path, bytes(damaged))) as core:
                assert core.threads
        except DumpwalkError:
            pass
    assert not list((tmp_path / "tmp").iterdir())


def test_nothing_comes_out(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotDecompress, match="nothing could be decompressed"),
        opened_core(w.write(tmp_path, gzip.compress(CORE)[:11])),
    ):
        pass


def test_bounded_by_the_limit_and_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = w.write(tmp_path, gzip.compress(CORE))
    with monkeypatch.context() as patch:
        patch.setattr(limits, "DECOMPRESSED_BYTES", 1 << 20)
        with pytest.raises(CannotDecompress, match="expands to more than 1.0 MB"), opened_core(path):
            pass
    full = shutil.disk_usage(tmp_path)._replace(free=2 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    with pytest.raises(CannotDecompress, match="free disk space"), opened_core(path):
        pass
    assert not list((tmp_path / "tmp").iterdir())


def test_one_level_only(tmp_path: Path) -> None:
    path = w.write(tmp_path, gzip.compress(lzma.compress(CORE)))
    with pytest.raises(NotACore, match="compressed data again"), opened_core(path):
        pass


def test_other_things_compressed(tmp_path: Path) -> None:
    with (
        pytest.raises(NotACore, match=r"\(decompressed\) is a text file"),
        opened_core(w.write(tmp_path, gzip.compress(b"just text\n"))),
    ):
        pass
    with pytest.raises(MalformedCore, match="decompressed"), opened_core(w.write(tmp_path, gzip.compress(CORE[:100]))):
        pass


def test_zip_with_several_or_no_cores(tmp_path: Path) -> None:
    two = zipped(**{"a/core.1": CORE, "b/core\x1b[31m.2": CORE})
    with pytest.raises(NotACore, match="2 cores in it") as caught, opened_core(w.write(tmp_path, two)):
        pass
    assert "a/core.1" in str(caught.value) and "\x1b" not in str(caught.value)
    none = zipped(**{"libcoreclr.so": w.image(), "readme": b"x" * 200})
    with pytest.raises(NotACore, match="without a core"), opened_core(w.write(tmp_path, none)):
        pass
    one = zipped(**{"libcoreclr.so": w.image(), "core": CORE})
    with opened_core(w.write(tmp_path, one)) as core:
        assert len(core.threads) == 2


def test_zip_names_and_links_do_not_matter(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd".ljust(100))
        archive.writestr("/abs/../../core", CORE)
    before = sorted(p.name for p in tmp_path.iterdir())
    with opened_core(w.write(tmp_path, out.getvalue())) as core:
        assert os.listdir(Path(core.file).parent) == ["core"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*before, "core.1"])


def test_no_zstd_at_hand_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_zstd_opener", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    path = w.write(tmp_path, b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(CannotDecompress, match="neither a zstd program") as caught, opened_core(path):
        pass
    assert "Decompress it yourself" in caught.value.sentence()


def test_without_a_place_for_it(tmp_path: Path) -> None:
    with pytest.raises(CannotDecompress, match="no place"):
        open_core(w.write(tmp_path, gzip.compress(CORE)))


def test_the_folder_is_removed_when_the_analysis_fails(tmp_path: Path) -> None:
    path = w.write(tmp_path, gzip.compress(CORE))
    with pytest.raises(KeyboardInterrupt), opened_core(path):
        assert list((tmp_path / "tmp").iterdir())
        raise KeyboardInterrupt
    assert not list((tmp_path / "tmp").iterdir())
