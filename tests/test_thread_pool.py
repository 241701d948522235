"""The thread pool: starved, growing, busy and idle ones; who blocks on which task and what would release it."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pytest

from dumpwalk.analysis.observe import observe
from dumpwalk.analysis.results import PoolLook
from dumpwalk.coreclr.tasks.task import method_of
from dumpwalk.coreclr.threadpool.release import LockWait, held_workers
from dumpwalk.engine.run import report_of
from dumpwalk.report.sections.thread_pool.model import ThreadPool
from fixtures.hangs import name_of
from tests.bare_process import bare_process, rewrite
from tests.conftest import ROOT, truth_of, unpack_core
from tests.real_cores import analyze
from tests.test_managed_locks import made, ring, tids

STARVED, IDLE = "managed/linux-x64-10.0.12-starvation", "managed/linux-x64-10.0.12-idle-healthy"


def pairs(pool: Dict[str, Any]) -> Dict[int, str]:
    return {w["thread"]: w["task"] for w in pool["workers"] if w["state"] == "waiting"}


def test_starved_pool_names_each_worker_its_task_and_the_queued_item() -> None:
    code, report, _ = analyze(STARVED)
    truth = truth_of(STARVED)
    pool = report["thread_pool"]
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (10, "hang", "pool-starvation")
    assert [pool[key] for key in ("working", "existing", "goal", "maximum")] == [4, 4, 4, 4]
    assert pool["queued"] == int(truth["program"]["extra"]["pending_work_items"]) and pool["starved"] is True
    waiting = pairs(pool)
    assert tids(report, list(waiting)) == sorted(truth["expectation"]["blocked_workers_os_tids"])
    by_tid = {t["os_tid"]: t for t in truth["clrmd"]["threads"]}
    by_index = {t["index"]: t["tid"] for t in report["threads"]}
    for index, task in waiting.items():  # the second reader has the task among the roots of that very thread
        roots = [r for r in by_tid[by_index[index]]["stack_refs"] if "AsyncStateMachineBox" in r]
        assert roots and {r.split()[0] for r in roots} == {task}
    for worker in pool["workers"]:
        item = next(i for i in pool["items"] if i["address"] == worker["released_by"])
        assert (worker["released_by"], worker["grade"]) == (worker["task"], "proved")
        assert (item["queue"], item["runs"]) == ("global", "Program.Nested")
    actors = [a["thread"] for a in report["findings"][0]["actors"]]
    assert sorted(actors) == sorted(waiting)
    assert not any(f["kind"] == "wait-without-owner" for f in report["findings"])


def test_idle_pool_is_told_and_is_no_finding() -> None:
    code, report, _ = analyze(IDLE)
    pool = report["thread_pool"]
    assert (code, pool["working"], pool["existing"], pool["queued"]) == (0, 0, 2, 0)
    assert {w["state"] for w in pool["workers"]} == {"idle"} and len(pool["workers"]) == 2
    names = {t["os_tid"] for t in truth_of(IDLE)["clrmd"]["threads"] if t["name"] == ".NET TP Worker"}
    assert set(tids(report, [w["thread"] for w in pool["workers"]])) == names


def test_pool_command_tells_workers_and_queue() -> None:
    look = [sys.executable, "-m", "dumpwalk", "pool", str(unpack_core(STARVED))]
    done = subprocess.run(look, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 10 and "4 of 4 workers at work" in done.stdout
    assert (
        done.stdout.count("waits for the task Program.Nested at 0x") == 4
        and "global queue: 24 work items" in done.stdout
    )


@pytest.mark.parametrize(
    "machine, method",
    [
        ("Program+<Nested>d__37", "Program.Nested"),
        ("Shop.Till+<Pay>d__3`1[System.Int32]", "Shop.Till.Pay"),
        ("Office.Desk+<Lookup>c__async0", "Office.Desk.Lookup"),
        ("Program+<<Main>g__Work|0_1>d", "Program.Main.Work"),
        ("Hand.Written", "Hand.Written"),
    ],
)
def test_state_machines_are_named_by_their_method(machine: str, method: str) -> None:
    assert method_of(machine) == method


# --- changed memory ---------------------------------------------------------------------------------------------------


def _again(changes: Dict[int, int]) -> Any:
    process = rewrite(bare_process(STARVED), changes)
    facts = observe(process)
    return facts.of(PoolLook), report_of(facts, "core", process.corefile)


def _pool() -> Any:
    look = observe(bare_process(STARVED)).of(PoolLook)
    assert look.pool is not None
    return look


def _word(address: int, value: int, size: int) -> Dict[int, int]:
    """The 8 bytes around a smaller number, with it changed."""
    start, at = address & ~7, address & 7
    data = bytearray(bare_process(STARVED).memory.read(start, 8) or b"")
    data[at : at + size] = value.to_bytes(size, "little")
    return {start: struct.unpack("<Q", bytes(data))[0]}


def test_pool_that_may_grow_is_suspicious_only() -> None:
    _, report = _again(_word(_pool().pool.counts.maximum_word.address, 100, 2))
    assert (report.verdict.status, report.verdict.kind) == ("suspicious", "pool-starvation")
    assert report.of(ThreadPool).starved and "100" in report.verdict.headline


def test_task_taken_from_the_queue_starves_nobody() -> None:
    look = _pool()
    slot = look.held[0].item.slot
    _, report = _again({slot: 0})
    assert not report.of(ThreadPool).starved and report.verdict.kind != "pool-starvation"
    assert report.of(ThreadPool).queued == 23


def test_task_that_is_done_holds_nobody() -> None:
    look = _pool()
    tasks = look.pool.tasks
    flags = tasks.view.field(look.held[0].task.address, "m_stateFlags")
    _, report = _again(_word(flags.address, int(flags.value) | 0x1000000, 4))
    assert not report.of(ThreadPool).starved and report.verdict.kind != "pool-starvation"


@pytest.mark.parametrize("value", [0, 0xFFFFFFFFFFFFFFFF, 0x0000000400040005, 0x1000400040004])
def test_counts_that_do_not_fit_prove_nothing(value: int) -> None:
    look, report = _again({_pool().pool.counts.word.address: value})
    assert not look.starved and report.verdict.kind != "pool-starvation"
    cover = {c.area: c for c in report.coverage}["thread-pool"]
    assert cover.status in ("none", "partial")


def test_queue_that_leads_to_itself_ends() -> None:
    look = _pool()
    view = look.pool.tasks.view
    head = view.field(view.field(look.pool.queues.address, "workItems").value, "_head").value
    following = view.field(head, "_nextSegment").address
    again, _ = _again({following: head})
    assert any("circle" in why for why in again.pool.queues.lacks)


def test_worker_behind_a_lock_is_held_as_its_owner_is() -> None:
    pool = _pool().pool
    waits = {w.thread.index: w.waits for w in pool.workers}
    first, second, third, fourth = pool.workers
    blind = replace(pool, workers=(first, *(replace(w, waits=None) for w in (second, third, fourth))))
    main = next(t for t in bare_process(STARVED).threads if t.index not in waits)

    def held(**owners: Any) -> List[int]:
        locks = {int(i[1:]): LockWait(0x1000, "a lock", owner, "proved", False) for i, owner in owners.items()}
        return [
            one.worker.thread.index
            for one in held_workers(blind, {first.thread.index: waits[first.thread.index]}, locks).held
        ]

    two, three, four = (f"_{w.thread.index}" for w in (second, third, fourth))
    everybody = [w.thread.index for w in pool.workers]
    assert held(**{two: first.thread, three: second.thread, four: first.thread}) == sorted(everybody)
    assert held(**{two: first.thread, three: main, four: first.thread}) == sorted(set(everybody) - {third.thread.index})
    assert held(**{two: third.thread, three: second.thread}) == [
        first.thread.index
    ]  # a ring of locks is no work of the pool's


# --- live -------------------------------------------------------------------------------------------------------------

LIVE = [
    ("8", "pool-starved", 10, "pool-starvation"),
    ("9", "pool-parked", 0, "nothing-stuck"),
    ("8", "pool-busy", 0, "nothing-stuck"),
]


@pytest.mark.live
@pytest.mark.parametrize("runtime, mode, code, kind", LIVE, ids=[f"{r}-{m}" for r, m, _, _ in LIVE])
def test_live_pool(runtime: str, mode: str, code: int, kind: str, tmp_path: Path) -> None:
    got, report, truth = made(name_of(runtime, mode), tmp_path)
    assert (got, report["verdict"]["kind"]) == (code, kind)
    pool = report["thread_pool"]
    assert pool["working"] == pool["existing"] == len(pool["workers"]) and pool["queued"] > 0
    assert pool["starved"] is (kind == "pool-starvation")
    notes = " ".join(line for f in report["findings"] if f["kind"] == "wait-without-owner" for line in f["observed"])
    whole = f"all the workers that the thread pool may have, and {pool['queued']} work items stand in its queues"
    assert (whole in notes) is (mode == "pool-parked")
    if mode == "pool-starved":
        blocked: List[int] = [t["tid"] for t in truth["threads"].values() if t["waits"] == "-"]
        assert tids(report, list(pairs(pool))) == sorted(blocked)
        assert len(set(pairs(pool).values())) == len(blocked)


@pytest.mark.live
def test_live_task_that_wants_its_waiter_s_lock(tmp_path: Path) -> None:
    code, report, truth = made(name_of("9", "async-lock"), tmp_path)
    assert (code, report["verdict"]["kind"]) == (10, "lock-cycle")
    assert ring(report) == [sorted(truth["cycle_tids"])]
    kinds = {node["kind"] for node in report["wait_graph"]["nodes"]}
    assert "task" in kinds and "Office.Desk.ReadAsync" in " ".join(report["findings"][0]["summary"])


@pytest.mark.live
def test_live_workers_that_are_held_in_ways_that_hide_it(tmp_path: Path) -> None:
    """By a pooled box, by an async lambda's proxy, by a lock of such a worker, by one of a thread outside of the pool."""
    code, report, truth = made(name_of("8", "pool-hidden"), tmp_path)
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (10, "hang", "pool-starvation")
    index = {
        role: next(t["index"] for t in report["threads"] if t["tid"] == row["tid"])
        for role, row in truth["threads"].items()
    }
    workers = {w["thread"]: w for w in report["thread_pool"]["workers"]}
    assert set(workers) == {index[f"clerk-{n}"] for n in (1, 2, 3, 4)}
    items = {i["address"]: i for i in report["thread_pool"]["items"]}
    pooled, proxy = workers[index["clerk-1"]], workers[index["clerk-2"]]
    assert (
        items[pooled["released_by"]]["runs"] == "Rail.Pools.LookupPooled"
        and pooled["task_runs"] == "Rail.Pools.ThroughPooled"
    )
    assert items[proxy["released_by"]]["queue"] == "local" and proxy["task_runs"].startswith("UnwrapPromise")
    for role, owner, name in (("clerk-3", "clerk-2", "till"), ("clerk-4", "chief", "safe")):
        row = workers[index[role]]
        assert (row["state"], row["task"], row["behind"], row["grade"]) == ("waiting", None, index[owner], "proved")
        assert row["lock"] == f"System.Object at {truth['locks'][name]['address']}"
    (found,) = [
        f for f in report["findings"] if f["kind"] in ("pool-starvation", "lock-contention")
    ]  # one picture, one finding
    assert found["confidence"] == "proved"
    assert {a["thread"] for a in found["actors"]} == set(workers) | {index["chief"]}
    assert f"which thread {index['chief']} holds" in " ".join(found["observed"])
    (chief,) = [line for line in found["observed"] if '"chief"' in line]
    assert "the task Rail.Pools.ThroughRelay" in chief and "of the global queue" in chief


@pytest.mark.live
def test_live_tasks_that_wait_for_what_their_own_scheduler_has_to_run(tmp_path: Path) -> None:
    code, report, truth = made(name_of("9", "schedulers"), tmp_path)
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (11, "suspicious", "lock-cycle")
    stuck = sorted([truth["threads"][role]["tid"]] for role in ("driver", "guard", "porter"))
    assert sorted(ring(report)) == stuck
    by_tid = {t["tid"]: t["index"] for t in report["threads"]}
    ends = {
        role: {
            (c["end"]["kind"], c["end"]["thread"])
            for c in report["async"]["chains"]
            if by_tid[row["tid"]] in c["threads"]
        }
        for role, row in truth["threads"].items()
    }
    assert all(
        ends[role] == {("posted", by_tid[truth["threads"][role]["tid"]])} for role in ("driver", "guard", "porter")
    )
    assert ends["anywhere"] == ends["later"] == {("timer", None)}
    assert ends["behind"] == {("unstarted", None)}  # its scheduler runs two tasks: the other one may make room
