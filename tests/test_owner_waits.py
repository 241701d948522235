"""A contended lock whose owner waits itself: inconclusive where nothing shows who ends that wait, none where time does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

from tests.conftest import ROOT

SOURCE = ROOT / "fixtures" / "programs" / "owner_waits.c"
pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("program") / "owner_waits"
    subprocess.run(["gcc", "-O1", "-o", str(built), str(SOURCE), "-lpthread"], check=True)
    return built


def dumped(program: Path, word: str, folder: Path) -> Tuple[int, Dict[str, Any], Dict[str, int]]:
    """(exit code, report, tids by name) of the program in that state."""
    with subprocess.Popen([str(program), word], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            said = [running.stdout.readline().split() for _ in range(3)]
            time.sleep(0.3)
            gcore = ["gcore", "-o", str(folder / "core"), str(running.pid)]
            subprocess.run(gcore, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        finally:
            running.kill()
    core = next(folder.glob("core.*"))
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", "-m", str(program.parent), str(core)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout), {w[1]: int(w[2]) for w in said if w[0] == "thread"}


def test_an_owner_that_waits_for_what_nobody_owns_is_not_nothing_stuck(program: Path, tmp_path: Path) -> None:
    code, report, named = dumped(program, "ever", tmp_path)
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (12, "inconclusive", "lock-contention")
    lock = next(k for k in report["locks"] if k["name"] == "ledger")
    tids = {t["index"]: t["tid"] for t in report["threads"]}
    assert lock["owner"]["tid"] == named["owner"]
    assert [tids[w["thread"]] for w in lock["waiters"]] == [named["waiter"]]
    assert "can still go on" not in json.dumps(report)


def test_an_owner_that_waits_for_a_time_is_a_note(program: Path, tmp_path: Path) -> None:
    code, report, _ = dumped(program, "time", tmp_path)
    assert (code, report["verdict"]["status"]) == (0, "none")
    assert [f["kind"] for f in report["findings"]] == ["lock-contention"]
