"""What a hostile core, its neighbours in the folder, or the environment must not achieve; each attack is shown to fail.

Where the attack can be shown to work without dumpwalk, it is: a canary that nothing could set proves nothing.
"""

from __future__ import annotations

import html.parser
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from dumpwalk.core.debugger_discovery import discover
from tests.broken_lldb import break_lldb
from tests.conftest import ROOT, unpack_core

HANG = "macho/incident-x64-10.0.9"
NATIVE = "native-abba"


@pytest.fixture
def place(tmp_path):
    for name in ("here", "home", "tmp", "out"):
        (tmp_path / name).mkdir()
    return tmp_path


def run(place: Path, *arguments: object, env: Optional[Dict[str, str]] = None) -> subprocess.CompletedProcess:
    """The installed command, as a person in the folder `here` would call it."""
    script = Path(sys.executable).with_name("dumpwalk")
    return subprocess.run(
        [str(script), *map(str, arguments)],
        cwd=place / "here",
        env={
            **os.environ,
            "HOME": str(place / "home"),
            "TMPDIR": str(place / "tmp"),
            "NO_COLOR": "1",
            **(env or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def lldb_program() -> str:
    found = discover({})
    assert found.lldb_binary, found
    return found.lldb_binary


def replaced(core: Path, target: Path, pairs: Dict[bytes, bytes]) -> Path:
    """A copy of a core with strings replaced by others of the same length."""
    data = core.read_bytes()
    for old, new in pairs.items():
        assert len(old) == len(new) and old in data, (old, new)
        data = data.replace(old, new)
    target.write_bytes(data)
    return target


# Nothing of the current folder, the home folder or a debug file is executed.


def init_file(place: Path) -> Path:
    canary = place / "canary"
    for folder in ("here", "home"):
        for name in (".lldbinit", ".lldbinit-lldb"):
            (place / folder / name).write_text(f"script open({str(canary)!r}, 'a').write('x')\n", encoding="utf-8")
    return canary


def test_lldbinit_of_the_folder_and_of_the_person_is_not_run(place):
    canary = init_file(place)
    subprocess.run(
        [lldb_program(), "--local-lldbinit", "-b"],
        cwd=place / "here", env={**os.environ, "HOME": str(place / "home")}, stdin=subprocess.DEVNULL,
        capture_output=True,
    )  # fmt: skip
    assert canary.exists(), "the attack works on a plain lldb"
    canary.unlink()
    assert run(place, "analyze", unpack_core(NATIVE)).returncode == 10
    assert run(place, "doctor").returncode == 0
    assert not canary.exists()


@pytest.mark.parametrize("embedded", [False, True])
def test_lldbinit_is_not_run_under_another_python_either(place, embedded):
    from tests.test_isolation import other_python

    canary = init_file(place)
    done = run(place, "analyze", unpack_core(NATIVE), env=other_python(place, embedded))
    assert done.returncode == 10, done.stderr
    assert not canary.exists()


PLANTED = (
    "json",
    "struct",
    "lldb",
    "networkx",
    "numpy",
    "scipy",
    "zstandard",
    "evil",
    "readline",
    "six",
    "sitecustomize",
)


def plant_modules(place: Path) -> Path:
    """Python modules, a package with an entry point for networkx, and a folder `dumpwalk`, in the current folder."""
    canary = place / "canary"
    code = f"open({str(canary)!r}, 'a').write(__name__)\n"
    for name in PLANTED:
        (place / "here" / f"{name}.py").write_text(code, encoding="utf-8")
    for name in ("backports", "compression", "dumpwalk"):
        (place / "here" / name).mkdir()
        (place / "here" / name / "__init__.py").write_text(code, encoding="utf-8")
    told = place / "here" / "evil-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n", encoding="utf-8")
    (told / "entry_points.txt").write_text(
        "[networkx.backends]\nevil = evil\n[networkx.backend_info]\nevil = evil:info\n"
        "[networkx.plugins]\nevil = evil\n[networkx.plugin_info]\nevil = evil:info\n",
        encoding="utf-8",
    )
    return canary


def test_no_python_module_is_taken_from_the_current_folder(place):
    canary = plant_modules(place)
    subprocess.run([sys.executable, "-c", "import numpy"], cwd=place / "here", capture_output=True)
    assert canary.exists(), "the attack works on a plain python -c"
    canary.unlink()
    done = run(place, "analyze", unpack_core(NATIVE), "-o", place / "out" / "r.html", "-o", place / "out" / "r.md")
    assert done.returncode == 10, done.stderr
    assert "lock-cycle" in done.stdout
    assert run(place, "doctor").returncode == 0
    packed = ROOT / "fixtures" / "cores" / f"{HANG}.core.xz"
    assert run(place, "analyze", packed).returncode == 10
    assert not canary.exists()


@pytest.mark.parametrize("embedded", [False, True])
def test_no_python_module_is_taken_from_the_current_folder_under_another_python(place, embedded):
    from tests.test_isolation import other_python

    canary = plant_modules(place)
    done = run(place, "analyze", unpack_core(NATIVE), env=other_python(place, embedded))
    assert done.returncode == 10, done.stderr
    assert not canary.exists(), canary.read_text()


@pytest.mark.images
def test_a_script_beside_a_debug_file_is_not_run(place):
    """dSYM Python of lldb on macOS images, gdb's scripts beside a library; in the folder that -m names."""
    from fixtures import packages

    canary = place / "canary"
    code = f"open({str(canary)!r}, 'a').write('x')\ndef __lldb_init_module(d, i): pass\n"
    source = packages.fetch("dotnet-3.1.23-osx-x64")
    library = next(source.rglob("libcoreclr.dylib"))
    modules = place / "modules"
    scripts = modules / "libcoreclr.dylib.dSYM" / "Contents" / "Resources" / "Python"
    dwarf = modules / "libcoreclr.dylib.dSYM" / "Contents" / "Resources" / "DWARF"
    scripts.mkdir(parents=True)
    dwarf.mkdir()
    shutil.copy(library, modules)
    shutil.copy(library, dwarf)
    for name in ("libcoreclr.py", "libcoreclr_dylib.py", "libcoreclr.dylib.py"):
        (scripts / name).write_text(code, encoding="utf-8")
    for name in ("libcoreclr.dylib-gdb.py", "libcoreclr.so-gdb.py", "libcoreclr-gdb.py"):
        (modules / name).write_text(code, encoding="utf-8")
    done = run(place, "analyze", "-f", "json", "-m", modules, unpack_core("macho/incident-x64-3.1.23"))
    report = json.loads(done.stdout)
    assert done.returncode == 10, done.stderr
    used = [m["file"] for m in report["modules"] if m["file"]]
    assert any("libcoreclr.dylib" in f for f in used), "the image beside the scripts was used"
    assert not canary.exists()


def test_a_program_that_the_core_names_is_not_executed(place):
    """The recorded path holds another program here: it is neither run nor believed."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="x") as folder:
        old = executable_of(NATIVE)
        program = Path(folder) / "p"
        canary = Path(folder) / "canary"
        program.write_text(f"#!/bin/sh\necho ran > {canary}\n", encoding="utf-8")
        program.chmod(0o755)
        core = replaced(unpack_core(NATIVE), place / "x.core", {old: padded(str(program), len(old))})
        done = run(place, "analyze", "-f", "json", core)
        report = json.loads(done.stdout)
        assert done.returncode == 10, done.stderr
        (module,) = [m for m in report["modules"] if m["path"].endswith(str(program)[-8:])]
        assert module["file"] is None and module["match"] != "matched"
        assert not canary.exists()


def executable_of(name: str) -> bytes:
    return re.findall(rb"/tmp/dumpwalk-[^\0]{1,200}/[a-z]+(?=\0)", unpack_core(name).read_bytes())[0]


def padded(path: str, length: int) -> bytes:
    """The same path, of this length."""
    return ("/" * (length - len(path)) + path).encode()


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_module_path_that_is_a_pipe_or_a_device_does_not_hold_anything(place, kind):
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="x") as folder:
        trap = "/dev/zero" if kind == "device" else f"{folder}/p"
        if kind == "pipe":
            os.mkfifo(trap)
        pairs = {old: padded(trap, len(old)) for old in (executable_of(NATIVE), b"/usr/lib/x86_64-linux-gnu/libc.so.6")}
        core = replaced(unpack_core(NATIVE), place / "x.core", pairs)
        done = run(place, "analyze", "-f", "json", "--timeout", 60, core)
        assert done.returncode == 10, done.stderr
        report = json.loads(done.stdout)
        why = next(c["why"] for c in report["coverage"] if c["area"] == "stacks")
        assert "a pipe or a device" in why and "did not finish" not in why


def test_a_module_folder_full_of_pipes_does_not_hold_anything(place):
    modules = place / "modules"
    modules.mkdir()
    for name in ("libc.so.6", "libcoreclr.dylib", "core", "x.debug"):
        os.mkfifo(modules / name)
    (modules / "loop").symlink_to(modules)
    (modules / "zero").symlink_to("/dev/zero")
    assert run(place, "analyze", "--timeout", 60, "-m", modules, unpack_core(NATIVE)).returncode == 10
    assert run(place, "analyze", "--timeout", 60, "-m", modules / "core", unpack_core(NATIVE)).returncode == 1


# No network.


class Listener:
    """Counts connections to a port of this machine."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.close()


@pytest.fixture
def listener():
    one = Listener()
    yield one
    one.socket.close()


@pytest.mark.parametrize("embedded", [None, False, True])
def test_no_symbol_server_is_asked(place, listener, embedded):
    from tests.test_isolation import other_python

    env = {
        "DEBUGINFOD_URLS": f"http://127.0.0.1:{listener.port}",
        "DEBUGINFOD_TIMEOUT": "2",
        "_NT_SYMBOL_PATH": f"srv*http://127.0.0.1:{listener.port}",
        "http_proxy": f"http://127.0.0.1:{listener.port}",
        "https_proxy": f"http://127.0.0.1:{listener.port}",
        "ALL_PROXY": f"http://127.0.0.1:{listener.port}",
        **({} if embedded is None else other_python(place, embedded)),
    }
    with socket.create_connection(("127.0.0.1", listener.port)):
        pass
    end = time.monotonic() + 5
    while listener.connections == 0 and time.monotonic() < end:
        time.sleep(0.01)
    assert listener.connections == 1, "the listener listens"
    for name in (NATIVE, HANG):
        assert run(place, "analyze", unpack_core(name), env=env).returncode == 10
    run(place, "doctor", env=env)
    assert listener.connections == 1


CONNECTS = re.compile(r"socket\.socket|create_connection|urllib\.request|http\.client|import (requests|ssl|ftplib)")


def test_the_package_has_no_code_that_opens_a_connection():
    sources = sorted((ROOT / "dumpwalk").rglob("*.py"))
    assert [p.name for p in sources if CONNECTS.search(p.read_text(encoding="utf-8"))] == []


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
    with tarfile.open(archive, f"w:{ending[4:]}") as sink:
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


# Hostile names in a real core, in every format.

HOSTILE = [
    '"><script>alert(1)</script><img src=x onerror=alert(2)>',
    "](javascript:alert(1)) ![x](http://evil.example/x.png)",
    "`</code></pre><svg onload=alert(1)> | a | b |",
    "\x1b]0;title\x07\x1b[2J\x1b[31mred\r\n# heading\n- [ ] x",
    "{{ 7*7 }}{% raw %}$(touch canary);`id`\u202e\u200b\u2066",
    "<!-- --><details open ontoggle=alert(1)>@everyone #1",
]


CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)")
"""Code in a line of Markdown: as many backticks behind it as before it (CommonMark 6.1); nothing in it is HTML or a link."""


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, every script, every text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: List[tuple] = []
        self.attributes: List[tuple] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


def hostile_core(place: Path, text: str) -> Path:
    """A real core whose program's path and name hold the text."""
    name = "native-abba"
    data = unpack_core(name).read_bytes()
    old = executable_of(name)
    raw = text.encode()[: len(old) - 1]
    new = b"/" + raw + b"/" * (len(old) - 1 - len(raw))
    data = data.replace(old, new[: len(old)])
    short = old.rsplit(b"/", 1)[1] + b"\0"
    at = data.index(short)  # pr_fname of NT_PRPSINFO, 16 bytes
    data = data[:at] + raw[:15].ljust(16, b"\0") + data[at + 16 :]
    target = place / "hostile.core"
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_stays_text_in_every_format(place, text):
    core = hostile_core(place, text)
    outputs = {kind: place / "out" / f"r.{kind}" for kind in ("html", "md", "txt", "json", "mmd", "dot")}
    done = run(place, "analyze", core, *[a for o in outputs.values() for a in ("-o", o)])
    assert done.returncode == 10, done.stderr
    shown = {kind: path.read_text(encoding="utf-8") for kind, path in outputs.items()}
    assert (
        any(text[:12] in m["path"] for m in json.loads(shown["json"])["modules"])
        or "\\" in text[:12]
        or (not text[:12].isprintable())
    )
    plain = Tags()
    run(place, "analyze", unpack_core("native-abba"), "-o", place / "out" / "plain.html")
    plain.feed((place / "out" / "plain.html").read_text(encoding="utf-8"))
    hostile = Tags()
    hostile.feed(shown["html"])
    for tag in ("script", "img", "svg", "iframe", "details", "object"):
        assert hostile.tags.count(tag) == plain.tags.count(tag), tag
    for tag, name, value in hostile.attributes:
        assert not name.startswith("on"), (tag, name, value)
        assert not value.strip().lower().startswith(("javascript:", "http:", "https:", "data:text")) or (
            (tag, name, value) in plain.attributes
        )
    outside = CODE_SPAN.sub("", "".join(shown["md"].split("```")[::2]))
    assert (
        "<script" not in outside and "<img" not in outside and "<svg" not in outside and "<details open" not in outside
    )
    assert "](javascript" not in outside and "![x](" not in outside
    for kind in ("txt", "md", "html", "mmd", "dot"):
        for character in "\x1b\x07\r\u202e\u2066":
            assert character not in shown[kind], (kind, character)
    assert "\x1b" not in done.stdout
    assert done.stdout.count("dumpwalk-verdict:") == 1
    assert not (place / "here" / "canary").exists()


def test_an_error_sentence_does_not_carry_control_characters(place):
    name = place / "here" / "a\x1b[31m\nb\x07.core"
    name.write_text("no core", encoding="utf-8")
    done = run(place, "analyze", name)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr and "\x07" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


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
    from dumpwalk import output
    from dumpwalk.errors import BadOutput

    victim = place / "victim"
    victim.write_text("precious", encoding="utf-8")
    monkeypatch.setattr("secrets.token_hex", lambda size: "known")
    (place / "out" / "r.md.known.part").symlink_to(victim)
    with pytest.raises(BadOutput):
        output.write(str(place / "out" / "r.md"), "overwritten")
    assert victim.read_text(encoding="utf-8") == "precious"
    assert (place / "out" / "r.md.known.part").is_symlink(), "what is not ours stays"
