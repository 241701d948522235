"""A hang made in this run on the real runtime: compiled, injected, dumped and explained."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.live
def test_a_hang_made_now_is_explained(tmp_path: Path) -> None:
    make = [sys.executable, "-m", "fixtures.make", "--only", "hang-two", "--out", str(tmp_path)]
    made = subprocess.run(make, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    truth = json.loads(next(tmp_path.glob("hang-two*.truth.json")).read_text())
    core = next(p for p in tmp_path.glob("hang-two*.core*") if not p.name.endswith(".json"))

    from fixtures import packages

    command = [
        sys.executable,
        "-m",
        "dumpwalk",
        "analyze",
        "-f",
        "json",
        "-m",
        str(packages.fetch(truth["runtime"]["package"])),
    ]
    done = subprocess.run(
        [*command, str(core)], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)

    assert done.returncode == 10 and report["verdict"]["signature"] == "4fd21060"
    assert report["runtime"]["version"] == "3.1.23"
    cycle = report["dispatch_cache"]["cycles"][0]
    assert (cycle["bucket"], [n["address"] for n in cycle["nodes"]], cycle["tail"]) == (
        truth["bucket"], truth["cycle"], truth["tail"],
    )  # fmt: skip
    lock = next(k for k in report["locks"] if k["address"] == truth["lock"])
    tids = {t["index"]: t["tid"] for t in report["threads"]}
    assert lock["owner"]["tid"] == truth["spinner_tid"]
    assert sorted(tids[w["thread"]] for w in lock["waiters"]) == sorted(truth["waiters"])
