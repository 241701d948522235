"""Stuck or slow: two looks at real processes, by their cores and by saved reports; the twins that move are looked at live
(test_live_process.py)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Tuple

import pytest

from dumpwalk.compare.judge import compare
from dumpwalk.compare.page import render
from dumpwalk.report.json_format import from_dict
from dumpwalk.report.sections.movement.model import Movement
from fixtures import dump, native_live
from tests.conftest import ROOT

pytestmark = pytest.mark.live
SECONDS = 1.8


class Looks(NamedTuple):
    first: Path
    second: Path
    threads: Dict[str, int]
    lock: int


Look = Callable[[str], Looks]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Two gcore cores of programs/turns in a mode, SECONDS apart, made once."""
    folder = tmp_path_factory.mktemp("looks")
    made: Dict[str, Looks] = {}

    def of(mode: str) -> Looks:
        if mode not in made:
            with native_live.running("turns", [mode]) as live:
                first = dump.gcore(live.pid, folder / f"{mode}.1.core")
                time.sleep(SECONDS)
                second = dump.gcore(live.pid, folder / f"{mode}.2.core")
                made[mode] = Looks(first, second, dict(live.threads), live.locks["turn_lock"])
        return made[mode]

    return of


def dumpwalk(*arguments: object) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-m", "dumpwalk", *map(str, arguments)]
    return subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def compared(looks: Looks) -> Tuple[int, Dict[str, Any]]:
    """Each core is analysed once for all tests."""
    for core in (looks.first, looks.second):
        if core not in _REPORTS:
            _REPORTS[core] = json.loads(dumpwalk("analyze", core, "-f", "json").stdout)
    found = compare(from_dict(_REPORTS[looks.first]), from_dict(_REPORTS[looks.second]))
    return found.verdict.exit_code, json.loads(json.dumps(asdict(found)))


_REPORTS: Dict[Path, Dict[str, Any]] = {}


def motion_by_tid(comparison: Dict[str, Any]) -> Dict[int, str]:
    return {t["tid"]: t["motion"] for t in comparison["threads"]}


def test_an_owner_that_did_not_move_is_stuck_with_all_who_wait(look: Look) -> None:
    looks = look("stuck")
    code, found = compared(looks)
    assert (code, found["verdict"]["status"]) == (10, "stuck")
    assert found["verdict"]["line"].startswith("dumpwalk-compare: stuck: ")
    (group,) = found["groups"]
    tids = {t["thread"]: t["tid"] for t in found["threads"]}
    assert {tids[i] for i in group["threads"]} == set(looks.threads.values())
    assert group["locks"] == [f"0x{looks.lock:x}"]
    (lock,) = found["locks"]
    assert lock["motion"] == "held" and tids[lock["owner"]] == looks.threads["owner"] and len(lock["waiting"]) == 4
    assert set(motion_by_tid(found).values()) == {"still"}
    assert found["seconds"] > SECONDS / 2


def test_an_owner_that_computes_cannot_be_told_from_one_that_never_ends(look: Look) -> None:
    looks = look("busy")
    code, found = compared(looks)
    assert (code, found["verdict"]["status"]) == (12, "unknown"), found
    assert motion_by_tid(found)[looks.threads["busy-owner"]] in ("turning", "still")
    assert "look the same" in found["groups"][0]["facts"][-1] or "given a processor" in found["groups"][0]["facts"][-1]


def test_a_core_and_a_saved_report_give_the_same_answer_in_every_format(look: Look, tmp_path: Path) -> None:
    looks = look("stuck")
    compared(looks)
    saved = tmp_path / "early.json"
    saved.write_text(json.dumps(_REPORTS[looks.first]))
    done = dumpwalk(
        "compare", saved, looks.second, "-o", tmp_path / "c.md", "-o", tmp_path / "c.html", "-o", tmp_path / "c.json"
    )
    assert done.returncode == 10 and done.stdout.startswith("STUCK  Threads ")
    assert done.stdout.rstrip().splitlines()[-1].startswith("dumpwalk-compare: stuck: ")
    assert "**STUCK**" in (tmp_path / "c.md").read_text()
    page = (tmp_path / "c.html").read_text()
    assert '<b class="stuck">STUCK</b>' in page and "://" not in page
    assert json.loads((tmp_path / "c.json").read_text())["verdict"] == compared(looks)[1]["verdict"]


def test_other_processes_and_other_files_are_refused_with_the_difference(look: Look, tmp_path: Path) -> None:
    stuck, busy = look("stuck"), look("busy")
    for looks in (stuck, busy):
        compared(looks)
    early, late = tmp_path / "early.json", tmp_path / "late.json"
    early.write_text(json.dumps(_REPORTS[stuck.first]))
    late.write_text(json.dumps(_REPORTS[busy.second]))
    done = dumpwalk("compare", early, late)
    assert done.returncode == 2 and "not of one process: the process ids are " in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    done = dumpwalk("compare", stuck.first, stuck.first)
    assert done.returncode == 2 and "the same file" in done.stderr
    no_report = tmp_path / "x.json"
    no_report.write_text("{}")
    done = dumpwalk("compare", no_report, stuck.second)
    assert done.returncode == 1 and "no report of one core" in done.stderr
    done = dumpwalk("compare", stuck.first, stuck.second, "-o", tmp_path / "x.dot")
    assert done.returncode == 2 and ".json .md .html .txt" in done.stderr


def test_looks_too_near_call_nothing_stuck(look: Look) -> None:
    looks = look("stuck")
    compared(looks)
    first, second = (from_dict(_REPORTS[core]) for core in (looks.first, looks.second))
    movement = first.of(Movement)
    assert movement is not None and movement.taken is not None
    early = datetime.fromisoformat(movement.taken) + timedelta(seconds=0.1)
    near = json.loads(json.dumps(_REPORTS[looks.second]))
    near["movement"]["taken"] = early.isoformat()
    result = compare(first, from_dict(near))
    assert second.verdict.status == "inconclusive" and (result.verdict.exit_code, result.verdict.status) == (
        12,
        "unknown",
    )
    assert "too short" in " ".join(fact for group in result.groups for fact in group.facts)


def test_a_thread_that_ran_is_not_still(look: Look) -> None:
    """Live looks count how often the kernel switched a thread: equal stacks do not hide that it went and came back."""
    looks = look("stuck")
    compared(looks)
    first, second = (json.loads(json.dumps(_REPORTS[core])) for core in (looks.first, looks.second))
    owner = next(t["index"] for t in second["threads"] if t["tid"] == looks.threads["owner"])
    for report, switches in ((first, 10), (second, 11)):
        report["movement"]["stops"] = 1
        for mark in report["movement"]["marks"]:
            mark["switches"] = switches
    assert compare(from_dict(first), from_dict(second)).verdict.status == "stuck"
    next(m for m in second["movement"]["marks"] if m["thread"] == owner)["switches"] = 60
    found = compare(from_dict(first), from_dict(second))
    assert found.verdict.status == "moving"
    assert next(t for t in found.threads if t.thread == owner).motion == "moved"


def as_monitor(report: Dict[str, Any], lock: int, address: str, clock: int) -> Dict[str, Any]:
    """The report as if the lock were a Monitor whose object lies at `address` and whose waiter starves since `clock`."""
    found = json.loads(json.dumps(report).replace(f'"0x{lock:x}"', f'"{address}"'))
    (one,) = [k for k in found["locks"] if k["address"] == address]
    one.update(kind="monitor", name=None, object={"address": address, "type": "Ledger"}, starving_since_ms=clock)
    return found


def test_a_lock_whose_object_the_collector_moved_is_found_again_and_its_clock_tells(look: Look) -> None:
    looks = look("stuck")
    compared(looks)
    first = as_monitor(_REPORTS[looks.first], looks.lock, "0x7f0000001000", 5)
    for clock, motion in ((5, "held"), (900, "changed")):
        second = as_monitor(_REPORTS[looks.second], looks.lock, "0x7f0000005550", clock)
        found = compare(from_dict(first), from_dict(second))
        (lock,) = [k for k in found.locks if k.kind == "monitor"]
        assert (lock.address, lock.motion, lock.starving) == ("0x7f0000005550", motion, clock == 5)
        assert len(lock.waiting) >= 2 or motion == "changed"
    stranger = as_monitor(_REPORTS[looks.second], looks.lock, "0x7f0000005550", 5)
    next(k for k in stranger["locks"] if k["kind"] == "monitor")["object"]["type"] = "Other"
    found = compare(from_dict(first), from_dict(stranger))
    assert {k.motion for k in found.locks if k.kind == "monitor"} == {"released", "taken"}


def test_the_page_explains_a_word_of_the_runtime_where_it_stands_first(look: Look) -> None:
    looks = look("stuck")
    compared(looks)
    found = compare(from_dict(_REPORTS[looks.first]), from_dict(_REPORTS[looks.second]))
    page = render(replace(found, not_established=("Who has the Crst.", "Whether that Crst is free.")))
    assert page.count('<dfn>Crst</dfn> <span class="gloss">(a lock of the runtime itself)</span>') == 1
    assert page.count("Crst") == 2 and "<h1>" in page
