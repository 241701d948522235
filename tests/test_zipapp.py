"""dumpwalk.pyz, made as `make zipapp` makes it, in an empty environment: with lldb, without one, on the oldest Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import List, Optional

import pytest

from scripts import make_zipapp
from tests.conftest import CORES, ROOT, unpack_core


@pytest.fixture(scope="module")
def pyz(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("zipapp") / "dumpwalk.pyz"
    assert make_zipapp.main(["-o", str(file)]) == 0
    return file


def oldest_python() -> Optional[str]:
    """A Python 3.9, where there is one."""
    places = [shutil.which("python3.9"), *sorted(map(str, Path.home().glob(".pyenv/versions/3.9.*/bin/python")))]
    return next((p for p in places if p and subprocess.run([p, "-V"], capture_output=True).returncode == 0), None)


def base_python() -> str:
    """This interpreter outside of its virtual environment: it has none of the packages."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def run(
    pyz: Path, folder: Path, *arguments: object, python: str = "", path: str = "/usr/bin:/bin"
) -> subprocess.CompletedProcess:
    argv: List[str] = [python or base_python(), "-I", str(pyz), *map(str, arguments)]
    env = {"HOME": str(folder), "PATH": path}
    return subprocess.run(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def test_the_file_has_no_machine_code_and_every_licence(pyz: Path) -> None:
    with zipfile.ZipFile(pyz) as archive:
        names = archive.namelist()
    assert pyz.read_bytes().startswith(b"#!/usr/bin/env python3\n") and os.access(pyz, os.X_OK)
    assert [n for n in names if n.endswith((".so", ".pyd", ".dylib", ".pyc"))] == []
    pinned = [line.split("==")[0].lower().replace("-", "_") for line in _pins()]
    told = {n.split("-")[0].lower() for n in names if ".dist-info/" in n}
    assert set(pinned) == told
    licensed = {n.split("-")[0].lower() for n in names if ".dist-info/" in n and not n.endswith((".txt", "METADATA"))}
    named = {n.split("-")[0].lower() for n in names if n.endswith(("LICENSE.txt", "licence.txt"))}
    assert len(licensed | named) >= len(pinned) - 1  # one tells its licence in its METADATA alone


def _pins() -> List[str]:
    lines = make_zipapp.PACKAGES.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_everything_that_is_declared_is_in_it() -> None:
    """A package that pyproject.toml adds has to be added to the file's list."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = text.split("dependencies = [")[1].split("]\n")[0].splitlines()
    names = {line.strip().strip('",').split(">=")[0].strip() for line in declared if line.strip()}
    assert names and names <= {pin.split("==")[0] for pin in _pins()}


def test_an_analysis_and_the_store_in_an_empty_environment(pyz: Path, tmp_path: Path) -> None:
    core = unpack_core("native-abba")
    done = run(
        pyz, tmp_path, core, "-m", CORES / "bin", "--store", "s.sqlite", "-o", "r.json", "-o", "r.html", "-o", "r.md"
    )
    assert done.returncode == 10, done.stderr
    assert done.stderr == "" and done.stdout.endswith("[sig 5800e545]\n")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["tool"]["lldb"] and report["verdict"]["known"].startswith("Seen once since")
    assert (tmp_path / "r.html").read_text().lower().startswith("<!doctype html>")
    page = run(pyz, tmp_path, "triage", "list", "--store", "s.sqlite", "-f", "html")
    assert page.returncode == 0 and "5800e545" in page.stdout and page.stderr == ""
    text = run(pyz, tmp_path, "explain", "lock-cycle")
    assert text.returncode == 0 and text.stdout.startswith("# ")
    assert not [p for p in tmp_path.iterdir() if p.name not in ("s.sqlite", "r.json", "r.html", "r.md")], (
        "nothing else is left"
    )


def test_children_start_from_the_zip_on_the_oldest_python_and_without_lldb(pyz: Path, tmp_path: Path) -> None:
    """Python 3.9 is not the one that lldb belongs to, so its child is a program of the other one."""
    python = oldest_python()
    core = unpack_core("native-abba")
    if python is not None:
        other = run(pyz, tmp_path, "analyze", core, "-m", CORES / "bin", "-f", "json", python=python)
        assert other.returncode == 10, other.stderr
        assert json.loads(other.stdout)["tool"]["lldb"]
    (tmp_path / "pyz").mkdir()
    moved = tmp_path / "pyz" / "moved"
    shutil.copy(pyz, moved)
    code = (
        "import sys; sys.argv = ['dumpwalk', *sys.argv[2:]]; sys.path.insert(0, %r); "
        "import dumpwalk.debugger.places as p; p.candidates = lambda *a, **k: []; "
        "import dumpwalk.debugger.discovery as d; d.candidates = lambda *a, **k: []; d._importable = lambda places: None; "
        "from dumpwalk.front import cli; cli.main()" % str(moved)
    )
    argv = [base_python(), "-I", "-c", code, "-", "analyze", str(core), "-m", str(CORES / "bin"), "-f", "json"]
    bare = subprocess.run(
        argv,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert bare.returncode == 10, bare.stderr
    report = json.loads(bare.stdout)
    assert report["tool"]["lldb"] is None and report["verdict"]["signature"] == "5800e545"
    stacks = next(row for row in report["coverage"] if row["area"] == "stacks")
    assert stacks["status"] == "partial" and "apt-get install lldb" in stacks["why"]
