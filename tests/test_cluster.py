"""`dumpwalk batch --dask`: a real scheduler and two real workers on the loopback; workers that die, cores that kill them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

from dumpwalk.jobs.cluster import order
from tests.conftest import CORES, ROOT, unpack_core

pytestmark = pytest.mark.live
DEATHS = 1
"""Workers that may die of one core before the scheduler gives it up."""


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen")


def dask(folder: Path, *arguments: str) -> subprocess.Popen:
    """`dask ARG...` in a folder of its own, where it sees no relative path of the batch."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(DEATHS),
        "TMPDIR": str(folder),
    }
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--no-dashboard", "--scheduler-file", str(folder / "scheduler")],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def end(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


@pytest.fixture(scope="module")
def cluster_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def cluster(cluster_folder) -> Iterator[str]:
    """The address of a scheduler with two workers, each restarted by its nanny when it dies."""
    folder = cluster_folder
    scheduler = dask(folder, "scheduler", "--host", "127.0.0.1", "--port", "0")
    workers = dask(
        folder, "worker", "--nworkers", "2", "--nthreads", "1", "--host", "127.0.0.1",
        "--preload", "tests.cluster_preload", "--local-directory", str(folder),
    )  # fmt: skip
    try:
        yield json.loads(wait_for(lambda: _read(folder / "scheduler"), "the scheduler's start"))["address"]
    finally:
        for process in (workers, scheduler):
            end(process)


def _read(file: Path) -> Optional[str]:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return text if text.endswith("}") else None


def batch(folder: Path, cluster: str, *paths: object) -> subprocess.Popen:
    argv = [sys.executable, "-m", "dumpwalk", "batch", *map(str, paths), "--dask", cluster, "-v"]
    argv += ["--store", str(folder / "store"), "-m", "/proc/self/cwd/bin", "-o", str(folder / "out.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.Popen(
        argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def rows(folder: Path) -> Dict[str, str]:
    """Of each core that the store knows, what went wrong with it, or nothing."""
    with sqlite3.connect(folder / "store") as database:
        told = dict(database.execute("SELECT path, coalesce(error, '') FROM batch_cores"))
    return {Path(path).name: error for path, error in told.items()}


def test_workers_that_die_lose_no_core_and_a_core_that_kills_them_is_set_aside(cluster, cluster_folder, tmp_path):
    """`unseen` and the folder of modules are reached by the batch alone: /proc/self/cwd is another folder in a worker."""
    shutil.copytree(CORES / "bin", tmp_path / "bin")
    for name, core in (("shared", "native-abba"), ("unseen", "native-self")):
        (tmp_path / name).mkdir()
        shutil.copy(unpack_core(core), tmp_path / name / core)
    shutil.copy(CORES / "native-convoy.core.xz", tmp_path / "shared" / "held")
    shutil.copy(unpack_core("native-convoy"), tmp_path / "shared" / "killer")
    with batch(tmp_path, cluster, tmp_path / "shared", "/proc/self/cwd/unseen") as running:
        worker = int(wait_for(lambda: _number(tmp_path / "shared" / "worker.pid"), "the analysis of `held`"))
        os.kill(worker, signal.SIGKILL)
        out, err = running.communicate(timeout=600)
    assert running.returncode == 10, err
    assert "4 of 4" in err and "on 2 workers" in err and "Traceback" not in err
    told = rows(tmp_path)
    killer = told.pop("killer")
    assert told == {"native-abba": "", "native-self": "", "held": ""}
    assert "killer: set aside, since several workers ended while it was in their hands" in killer and killer in out
    written = json.loads((tmp_path / "out.json").read_text())
    assert [Path(r["path"]).name for r in written if "error" in r] == ["killer"]
    reports = {Path(r["dump"]["path"]).name: r for r in written if "dump" in r}
    for name, folder in (("native-abba", str(tmp_path / "shared")), ("native-self", "/proc/self/cwd/unseen")):
        report = reports[name]
        assert report["dump"]["path"] == f"{folder}/{name}"
        files = [m["file"] for m in report["modules"] if m["file"] and "/bin/" in m["file"]]
        assert files and all(file.startswith("/proc/self/cwd/bin/") for file in files), "the copies' names are not told"
        assert report["verdict"]["line"].startswith("dumpwalk-verdict: hang lock-cycle: ")
        assert {"main", "_start"} <= {f["function"] for t in report["threads"] for f in t["frames"]}, "of the files"
    assert not list(cluster_folder.glob("dumpwalk-*/fetched/*")), "a core's copy is gone with its analysis"

    with batch(tmp_path, "tcp://127.0.0.1:9", tmp_path / "shared", "/proc/self/cwd/unseen") as again:
        out, err = again.communicate(timeout=600)
    assert (again.returncode, err) == (10, ""), "all is done: no cluster is needed"
    assert killer in out


def _number(file: Path) -> Optional[str]:
    return file.read_text() if file.exists() else None


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path):
    shutil.copy(unpack_core("native-abba"), tmp_path / "one")
    with batch(tmp_path, "tcp://127.0.0.1:9", "one") as running:
        out, err = running.communicate(timeout=600)
    assert running.returncode == 1 and out == ""
    assert [line for line in err.splitlines() if "--modules" not in line] == [err.splitlines()[-1]]
    assert "The cluster at tcp://127.0.0.1:9 cannot be reached" in err


def test_a_file_is_the_same_by_name_size_and_time(tmp_path):
    folder = tmp_path / "bin"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_bytes(b"one")
    (folder / "gone").symlink_to("nowhere")
    before = order.offer_of(str(folder))
    assert before.digest and order.entries(str(folder))[0][:2] == ("deep/a", 3)
    os.utime(folder / "deep" / "a", ns=(1, 1))
    assert order.offer_of(str(folder)) != before
    changed: List[order.Offer] = [order.offer_of(str(folder / "deep" / "a"))]
    (folder / "deep" / "a").write_bytes(b"another")
    assert order.offer_of(str(folder / "deep" / "a")) not in changed
