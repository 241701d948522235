"""One process with hangs of every kind beside healthy twins: each hang is one finding, and no twin is in any."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pytest

from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr.locks.monitor import read_monitors
from dumpwalk.coreclr.locks.sync_table import read_sync_table
from dumpwalk.engine.run import report_of
from dumpwalk.report.model import Report
from fixtures.hangs import name_of
from tests.bare_process import bare_process, rewrite
from tests.real_cores import analyze, truth_of
from tests.test_managed_locks import made, ring, told

HALL_8, HALL_31 = "hangs/net8-hall", "hangs/net31-hall"
HEALTHY_9 = "hangs/net9-hall-healthy"
LOCKS = {"porter-1": "monitor", "baker-1": "class-init", "reader-1": "rwlock", "guard-1": "rwlock", "warden-1": "mutex"}
SIGNATURE = "645d247a"


def check(code: int, report: Dict[str, Any], truth: Dict[str, Any]) -> None:
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (10, "hang", "lock-cycle")
    assert ring(report) == sorted(sorted(tids) for tids in truth["ring_tids"])
    told(report, truth, gone=("grave",))
    orphans = [f for f in report["findings"] if f["kind"] == "lock-orphaned"]
    tids = {t["index"]: t["tid"] for t in report["threads"]}
    assert [[tids[a["thread"]] for a in f["actors"]] for f in orphans] == [[truth["threads"]["mourner"]["tid"]]]
    inside = {tid for ring_tids in truth["ring_tids"] for tid in ring_tids} | {truth["threads"]["mourner"]["tid"]}
    stuck = {tids[a["thread"]] for f in report["findings"] if f["status"] == "hang" for a in f["actors"]}
    assert stuck == inside, "no healthy twin is stuck"


@pytest.mark.parametrize("name", [HALL_8, HALL_31])
def test_each_hang_is_a_finding_and_no_twin_is(name: str) -> None:
    code, report, _ = analyze(name)
    truth = truth_of(name)
    known = truth if name == HALL_8 else {**truth, "locks": _types_unknown(truth["locks"])}
    check(code, report, known)
    assert len(truth["ring_tids"]) == len(LOCKS)


def _types_unknown(locks: Dict[str, Any]) -> Dict[str, Any]:
    """The program's own assembly is not at hand, and a heap dump of 3.1 holds no metadata."""
    return {n: {**lock, "type": lock["type"] if "System" in lock["type"][:6] else None} for n, lock in locks.items()}


def test_signature_is_by_names_or_there_is_none() -> None:
    assert analyze(HALL_8)[1]["verdict"]["signature"] == SIGNATURE
    assert analyze(HALL_31)[1]["verdict"]["signature"] is None, "its methods and types have no names"


@pytest.mark.parametrize("name", [HALL_8, HALL_31])
def test_lock_that_was_entered_twice_says_so(name: str) -> None:
    """porter-1 entered the chest twice, porter-2 its drawer once, as a class initialiser is."""
    _, report, _ = analyze(name)
    entered = {row["address"]: row["recursion"] for row in report["locks"]}
    locks = truth_of(name)["locks"]
    assert (entered[locks["chest"]["address"]], entered[locks["drawer"]["address"]]) == (2, 1)
    assert {row["recursion"] for row in report["locks"] if row["kind"] == "class-init"} == {1}


@pytest.mark.parametrize("name", [HALL_8, HALL_31])
def test_readers_are_known_by_the_threads_own_counts(name: str) -> None:
    _, report, _ = analyze(name)
    truth = truth_of(name)
    for lock in ("books", "map", "plan"):
        row = next(r for r in report["locks"] if r["address"] == truth["locks"][lock]["address"])
        assert [(o["tid"], o["holding"]) for o in row["owners"]] == [(truth["locks"][lock]["owners"][0], "shared")]
        assert row["owners_unknown"] is None


def test_healthy_twins_alone_are_no_hang_and_nothing_is_proved_of_them() -> None:
    """Sleeping owners with waiters, a busy queue, an initialiser under way, waits for events, an idle server."""
    code, report, _ = analyze(HEALTHY_9)
    truth = truth_of(HEALTHY_9)
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (0, "none", "nothing-stuck")
    assert {f["status"] for f in report["findings"]} == {"none"}, "an owner and its waiters at most, as a note"
    assert not any(f["kind"] in ("lock-cycle", "lock-orphaned") for f in report["findings"])
    assert {c["status"] for c in report["coverage"] if c["area"] in ("managed-locks", "managed-code")} == {"complete"}
    told(report, truth)
    waited = {row["object"]["address"] for row in report["locks"] if row["waiters"] and row["object"]}
    assert waited >= {truth["locks"][name]["address"] for name in ("desk", "map", "plan")}


def reread(changes: Dict[int, int], holes: List[range]) -> Report:
    process = rewrite(bare_process(HALL_8), changes, holes)
    return report_of(observe(process), "core", process.corefile)


def test_reader_whose_counts_are_not_in_the_dump_is_unknown_and_no_cycle() -> None:
    """The ThreadLocalBlock of every Thread is taken away: 0x438 in 8.0.4."""
    threads = observe(bare_process(HALL_8)).managed
    assert threads is not None
    holes = [range(t.address + 0x438, t.address + 0x440) for t in threads.threads]
    report = reread({}, holes)
    truth = truth_of(HALL_8)
    books = next(k for k in report.locks if k.address == truth["locks"]["books"]["address"])
    assert books.owners_unknown is not None and not books.owners
    assert sum(f.kind == "lock-cycle" for f in report.findings) == len(LOCKS) - 1


@pytest.mark.parametrize(
    "lock, offset, value", [("cellar", 0x24, 0x7FFFFFFF), ("cellar", 0x20, 0), ("attic", 0x24, -1)]
)
def test_damaged_reader_writer_lock_is_in_no_cycle(lock: str, offset: int, value: int) -> None:
    """_state (+0x20) and _writerID (+0x24) of a ReaderWriterLock of 8."""
    address = int(truth_of(HALL_8)["locks"][lock]["address"], 16)
    memory = bare_process(HALL_8).memory
    word = bytearray(memory.read(address + 0x20, 8) or b"")
    assert struct.unpack("<I", word[:4])[0] & 0x1000, "a writer has it"
    struct.pack_into("<i", word, offset - 0x20, value)
    report = reread({address + 0x20: int.from_bytes(word, "little")}, [])
    cycles = [f for f in report.findings if f.kind == "lock-cycle" and f.status == "hang"]
    assert len(cycles) == len(LOCKS) - 1
    assert not any(truth_of(HALL_8)["locks"][lock]["address"] in f.locks for f in cycles)


# --- live -----------------------------------------------------------------------------------------------------------------


@pytest.mark.live
def test_live_hall_of_9_has_the_signature_of_8(tmp_path: Path) -> None:
    code, report, truth = made(name_of("9", "hall"), tmp_path)
    check(code, report, truth)
    assert len(truth["ring_tids"]) == len(LOCKS) + 1, "System.Threading.Lock too"
    assert report["verdict"]["signature"] == SIGNATURE


@pytest.mark.live
def test_live_named_mutexes_are_told_and_not_taken_for_events(tmp_path: Path) -> None:
    code, report, truth = made(name_of("8", "mutex-named"), tmp_path)
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (12, "inconclusive", "owner-unknown")
    rows = [k for k in report["locks"] if k["implementation"] == "pal-named-mutex"]
    assert sorted(k["name"].split()[-1].split("-")[0] for k in rows) == ["orders", "stock"]
    tids = {t["index"]: t["tid"] for t in report["threads"]}
    waiters = sorted(tids[w["thread"]] for k in rows for w in k["waiters"])
    assert waiters == sorted(lock["waiters"][0] for lock in truth["locks"].values())
    assert all(k["owner"] is None and "dump of kind full" in k["owners_unknown"] for k in rows)


@pytest.mark.parametrize("holes", ["variables", "kind"])
def test_table_of_sync_blocks_that_is_not_in_the_dump_is_told(holes: str) -> None:
    """Without it no Monitor is read: a process that waits in none is not called healthy for that."""
    process = bare_process(HALL_8)
    facts = observe(process)
    assert facts.around is not None and process.corefile is not None
    low, high = facts.around.runtime.image.span()
    table = read_sync_table(facts.around)
    assert table.address is not None and table.status == "complete"
    if holes == "variables":
        again = rewrite(bare_process(HALL_8), {}, [range(low, high)])
        around = replace(facts.around, process=again)
    else:
        mini = replace(process.corefile, kind="mini")
        again = rewrite(bare_process(HALL_8), {}, [range(table.address, table.address + 0x1000)])
        again.corefile = mini
        around = replace(facts.around, process=again)
    missing = read_sync_table(around)
    assert (missing.address, missing.lacking) == (None, True)
    read_monitors(around)
    assert missing.why in around.lacking
