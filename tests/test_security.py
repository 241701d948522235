"""What a hostile core, its neighbours in the folder, or the environment must not achieve; each attack is shown to fail.

Where the attack can be shown to work without dumpwalk, it is: a canary that nothing could set proves nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tests.attacks import HANG, NATIVE, executable_of, folders, lldb_program, padded, replaced, run
from tests.conftest import ROOT, unpack_core


@pytest.fixture
def place(tmp_path):
    return folders(tmp_path)


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
    done = run(place, "analyze", "--timeout", 60, "-m", modules / "core", unpack_core(NATIVE))
    assert done.returncode == 10
    assert "given as modules, is neither a folder nor a regular file" in " ".join(done.stdout.split())


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


def test_one_file_of_the_package_opens_connections_and_an_analysis_never_imports_it():
    sources = sorted((ROOT / "dumpwalk").rglob("*.py"))
    assert [p.name for p in sources if CONNECTS.search(p.read_text(encoding="utf-8"))] == ["download.py"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dumpwalk", "analyze", str(unpack_core(NATIVE))],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "dumpwalk.front.cli" in imported and "lock-cycle" in done.stdout
    assert not {"requests", "dumpwalk.binaries.download"} & imported
