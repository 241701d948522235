"""What is done about one core ends in time, archives and tidying up too; and what a missing temporary folder costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, unpack_core
from tests.test_isolation import HANG, NATIVE, run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    return tmp_path


def test_the_time_limit_holds_for_an_archive_of_many_members_and_its_removal(place):
    with zipfile.ZipFile(place / "many.zip", "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}/libc.so.6", b"\x7fELF\2\1\1" + bytes(200))
    began = time.monotonic()
    done = run(place, "analyze", "-f", "json", unpack_core(NATIVE), "-m", place / "many.zip", "--timeout", 8)
    assert time.monotonic() - began < 11
    assert done.returncode == 10, done.stderr


def test_a_walk_has_a_time_limit_too(place):
    core = ROOT / "fixtures" / "cores" / f"{HANG}.core.xz"
    done = run(place, "walk", core, "0x10", "--timeout", "0.001")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no result within 0.001 seconds" in done.stderr and done.stderr.count("\n") == 1


def test_without_a_temporary_folder_a_plain_core_is_analysed_and_a_packed_one_is_a_sentence(place):
    from dumpwalk.engine.run import Options
    from dumpwalk.jobs import isolation

    def refuse(*arguments, **more):
        raise FileNotFoundError(2, "No usable temporary directory found")

    original = isolation.scratch.private_folder
    isolation.scratch.private_folder = refuse
    try:
        packed = ROOT / "fixtures" / "cores" / "native-abba.core.xz"
        plain, xz = isolation.analyze_all([str(unpack_core(NATIVE)), str(packed)], Options(), 60)
    finally:
        isolation.scratch.private_folder = original
    assert plain.verdict.kind == "lock-cycle"
    assert "no place to decompress it to" in xz.error and "No usable temporary directory found" in xz.error


def test_no_folder_at_all_can_be_written_to(place):
    """Files cannot grow here, so that Python finds no temporary folder anywhere."""
    done = run(place, "analyze", unpack_core(NATIVE), file_size=0)
    assert done.returncode == 10 and done.stderr == ""
    done = run(place, "analyze", ROOT / "fixtures" / "cores" / "native-abba.core.xz", file_size=0)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "no place to decompress it to" in done.stderr and "temporary directory" in done.stderr


def test_the_search_for_lldb_is_part_of_the_time(tmp_path):
    """A program that does not answer is asked for its Python for 20 seconds where there is no limit; this one would then."""
    silent = tmp_path / "lldb"
    silent.write_text("#!/bin/sh\nexec sleep 15\n")
    silent.chmod(0o755)
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "--timeout", "2", str(unpack_core("native-abba"))]
    environment = {**os.environ, "DUMPWALK_LLDB": str(silent)}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert "it could not be run or did not answer" in done.stderr and done.stderr.count("\n") == 1


def test_drawing_the_report_is_part_of_the_time():
    """Whatever it is that takes long there: here the renderer itself, which takes 40 seconds."""
    program = """
import sys, time
from dumpwalk.front import cli, output
def render(*arguments, **more):
    for _ in range(40): time.sleep(1)
    return "too late"
output.render = render
cli.main(sys.argv[1:])
"""
    core = str(unpack_core("native-abba"))
    argv = [sys.executable, "-c", program, "analyze", "--timeout", "4", core]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("dumpwalk: The report was not drawn within 4 seconds.")
