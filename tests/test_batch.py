"""`dumpwalk batch`: real cores below folders, into a store; killed in the middle and started again; one bad core stops nothing."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from dumpwalk.front.batch import Rate, remaining
from dumpwalk.jobs import cores
from tests.conftest import CORES, ROOT, unpack_core

NAMES = ("native-abba", "native-self", "native-convoy")


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    """Three cores and a copy of one, some compressed; a broken archive; what is no core; a link that goes round."""
    folder = tmp_path / "dumps"
    (folder / "deep" / "er").mkdir(parents=True)
    shutil.copy(CORES / "native-abba.core.xz", folder / "a.xz")
    shutil.copy(CORES / "native-self.core.xz", folder / "deep" / "b")
    os.link(unpack_core("native-convoy"), folder / "deep" / "er" / "c.dmp")
    shutil.copy(CORES / "native-abba.core.xz", folder / "deep" / "copy")
    (folder / "broken.gz").write_bytes(gzip.compress(b"no core"))
    (folder / "notes.txt").write_text("no core")
    (folder / "program").write_bytes(Path(sys.executable).read_bytes()[:4096])
    (folder / "deep" / "round").symlink_to(folder)
    return folder


def argv(folder: Path, store: Path, *more: str) -> List[str]:
    options = ["--store", str(store), "-m", str(CORES / "bin"), "--jobs", "1", "-v", *more]
    return [sys.executable, "-m", "dumpwalk", "batch", str(folder), *options]


def rows(store: Path) -> Tuple[List[str], Dict[str, str]]:
    """(id of each report, error by file name) in the store."""
    with sqlite3.connect(store) as database:
        kept = [row[0] for row in database.execute("SELECT id FROM reports ORDER BY id")]
        failed = dict(database.execute("SELECT path, error FROM batch_cores WHERE error IS NOT NULL"))
    return kept, {Path(path).name: error for path, error in failed.items()}


def test_what_is_called_as_dumps_are_is_told_and_an_empty_one_is_no_silence(tmp_path):
    for name in ("core.12", "coredump.7", "x_hangdump.dmp", "core.dotnet.9.gz", "core"):
        (tmp_path / name).write_bytes(b"")
    for name in ("core.py", "core.js", "score.1x", "corelib.dll", "core.d"):
        (tmp_path / name).write_bytes(b"no core")
    found = [Path(p).name for p in cores.below([str(tmp_path)])]
    assert found == ["core", "core.12", "core.dotnet.9.gz", "coredump.7", "x_hangdump.dmp"]
    outputs = [tmp_path / f"out.{kind}" for kind in ("json", "xml", "md")]
    more = [part for file in outputs for part in ("-o", str(file))]
    done = subprocess.run(
        argv(tmp_path / "core.12", tmp_path / "s.sqlite", *more), cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and "core.12 is empty" in done.stdout
    told = json.loads(outputs[0].read_text())
    assert told["path"] == str(tmp_path / "core.12") and "is empty" in told["error"]
    assert 'errors="1"' in outputs[1].read_text() and "core.12" in outputs[2].read_text()


def test_what_is_a_core_is_told_by_content(dumps):
    found = [str(Path(p).relative_to(dumps)) for p in cores.below([str(dumps), str(dumps / "deep")])]
    assert found == ["a.xz", "broken.gz", "deep/b", "deep/copy", "deep/er/c.dmp"]
    assert list(cores.below([str(dumps / "notes.txt"), "missing"])) == [str(dumps / "notes.txt"), "missing"]


def test_a_batch_that_is_killed_goes_on_where_it_was(dumps, tmp_path):
    store = tmp_path / "store.sqlite"
    with subprocess.Popen(
        argv(dumps, store),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        first = running.stderr.readline()
        second = running.stderr.readline()
        running.send_signal(signal.SIGKILL)
    assert "1 of 5" in first and "2 of 5" in second
    before, _ = rows(store)
    assert 1 <= len(before) <= 2

    done = subprocess.run(argv(dumps, store), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 10, done.stderr
    assert "1 of 3" in done.stderr and "2 done before" in done.stderr and "4 of" not in done.stderr
    kept, failed = rows(store)
    assert len(kept) == 3 and set(before) <= set(kept)  # the copy counts once
    assert list(failed) == ["broken.gz"] and "not a core" in failed["broken.gz"]

    text = done.stdout
    assert text.startswith("5 cores: 3 hang, 1 not analysed, 1 nothing stuck\n")
    table = [line.split()[:2] for line in text.splitlines()[4:7]]
    assert table == [["hang", "2"], ["hang", "1"], ["none", "1"]]
    assert text.count(": dumpwalk-verdict: ") == 3 and "Not analysed\n" in text

    start = time.monotonic()
    again = subprocess.run(argv(dumps, store), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert again.stdout == text and again.stderr == "" and rows(store) == (kept, failed)
    assert time.monotonic() - start < 60


def test_a_missing_path_is_one_of_the_cores_and_nothing_at_all_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    store = tmp_path / "store.sqlite"
    none = subprocess.run(argv(tmp_path / "empty", store), cwd=ROOT, capture_output=True, text=True)
    assert none.returncode == 1 and none.stdout == "" and "No core is below" in none.stderr
    missing = subprocess.run(argv(tmp_path / "not-there", store), cwd=ROOT, capture_output=True, text=True)
    assert missing.returncode == 1 and "cannot be read (No such file or directory)" in missing.stdout


def test_the_rate_and_what_remains():
    rate = Rate(200, 3, False)
    for wire in ({}, {}, {"error": "x"}):
        rate.step(wire)
    assert rate.words(1.5) == "3 of 200, 2.0 a second, 99 s left, 1 not analysed, 3 done before"
    assert [remaining(s) for s in (0, 39, 700, 11_100)] == ["0 s", "39 s", "12 min", "3 h 5 min"]
