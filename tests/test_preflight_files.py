"""Everything that is not a core gets its own sentence and class, and nothing ever waits for a pipe."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from dumpwalk.dump.preflight import open_core, opened_core
from dumpwalk.errors import DumpwalkError, NotACore, NotFound, Unreadable, WindowsMinidump
from tests import elfwriter as w


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "empty"),
        (b"hello, I am a log file\nwith two lines\n", "text file"),
        ("h\u00e9, nicht ASCII \u2014 aber Text\n".encode(), "text file"),
        (b"\xff\xfeh\0i\0", "text file"),
        (b"MZ\x90\0" + bytes(200), "Windows executable"),
        (b"PAGEDU64" + bytes(200), "kernel dump"),
        (b"\xca\xfe\xba\xbe\0\0\0\2" + bytes(200), "universal binary"),
        (b"\xca\xfe\xba\xbe\0\0\0\x41" + bytes(200), "Java class"),
        (b"\xce\xfa\xed\xfe" + bytes(200), "32-bit Mach-O"),
        (b"\xfe\xed\xfa\xcf" + bytes(200), "big-endian Mach-O"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(200), "7z"),
        (bytes(10_000), "zero bytes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "unknown format"),
    ],
)
def test_other_contents(tmp_path: Path, data: bytes, words: str) -> None:
    path = w.write(tmp_path, data, "core.4711")
    with pytest.raises(NotACore, match=words) as caught:
        open_core(path)
    sentence = caught.value.sentence()
    assert path in sentence and sentence.endswith(".") and "\n" not in sentence and caught.value.exit_code == 1


def test_names_say_nothing(tmp_path: Path) -> None:
    data = w.createdump(loads=w.stacks(2))
    assert open_core(w.write(tmp_path, data, "notes.txt.gz")).producer == "createdump"


def test_windows_minidump(tmp_path: Path) -> None:
    with pytest.raises(WindowsMinidump) as caught:
        open_core(w.write(tmp_path, b"MDMP\x93\xa7\0\0" + bytes(300)))
    assert "WinDbg" in caught.value.sentence() and caught.value.kind == "windows-minidump"


def test_executables_and_libraries_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(NotACore, match="ELF executable"):
        open_core(os.path.realpath(sys.executable))
    library = w.write(tmp_path, w.image(), "core")
    with pytest.raises(NotACore, match="ELF shared object"):
        open_core(library)


def test_tar(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("core"), io.BytesIO())
    with pytest.raises(NotACore, match="tar archive"):
        open_core(w.write(tmp_path, out.getvalue()))


def test_missing_directory_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        open_core(str(tmp_path / "core.1"))
    with pytest.raises(NotFound):
        open_core(str(tmp_path / "x" / "core.1"))
    with pytest.raises(NotACore, match="directory"):
        open_core(str(tmp_path))
    with pytest.raises(Unreadable):
        open_core("core\0.1")
    with pytest.raises(Unreadable):
        open_core("/proc/self/mem")


def test_pipes_devices_and_sockets_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotACore, match="pipe"):
        open_core(str(tmp_path / "pipe"))
    for device in ("/dev/zero", "/dev/null", "/dev/tty"):
        if os.path.exists(device):
            with pytest.raises(DumpwalkError, match="device"):
                open_core(device)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(NotACore, match="socket"):
            open_core(str(tmp_path / "s"))


def test_a_pipe_put_in_place_of_the_file_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is replaced between the look at it and its opening."""
    plain = os.stat(w.write(tmp_path, b"x"))
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(os, "stat", lambda path, **kw: plain)
    with pytest.raises(NotACore, match="pipe"):
        open_core(str(tmp_path / "pipe"))


def test_a_link_to_a_core_is_followed_and_named_as_given(tmp_path: Path) -> None:
    w.write(tmp_path, w.createdump(loads=w.stacks(2)), "real")
    (tmp_path / "link").symlink_to("real")
    core = open_core(str(tmp_path / "link"))
    assert core.path.endswith("link") and core.file == core.path
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(Unreadable):
        open_core(str(tmp_path / "loop"))


def test_a_plain_core_needs_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", lambda **kw: pytest.fail("not needed"))
    with opened_core(w.write(tmp_path, w.createdump(loads=w.stacks(2)))) as core:
        assert stat.S_ISREG(os.stat(core.file).st_mode)


@pytest.mark.live
@pytest.mark.may_skip
def test_a_core_of_this_machine_s_kernel(tmp_path: Path) -> None:
    """The marks of a kernel core, on whatever kernel the tests run."""
    pattern = Path("/proc/sys/kernel/core_pattern")
    if not pattern.exists() or pattern.read_text().strip() not in ("core", "core.%p") or not shutil.which("sh"):
        pytest.skip("the kernel does not write cores into the current folder here")
    subprocess.run(["sh", "-c", "ulimit -c unlimited; kill -SEGV $$"], cwd=tmp_path, stdin=subprocess.DEVNULL)
    cores = list(tmp_path.glob("core*"))
    if not cores:
        pytest.skip("no core was written")
    core = open_core(str(cores[0]))
    assert core.producer == "kernel" and core.kind in ("heap", "full") and core.process_name == "sh"
    assert (core.crash_thread, core.crash_signal) == (core.pid, 11)
    assert any(image.build_id for image in core.images)
