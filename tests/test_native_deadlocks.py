"""pthread deadlocks of real C programs, without .NET."""

from __future__ import annotations

import pytest

from tests.conftest import truth_of
from tests.real_cores import analyze, tids


@pytest.mark.parametrize("name", ["native-abba", "native-three"])
def test_deadlock_names_every_party_and_lock(name: str) -> None:
    truth, (code, report, _) = truth_of(name), analyze(name)

    assert code == 10 and report["verdict"]["kind"] == "lock-cycle" and report["runtime"] is None
    by_index = tids(report)
    holders = {by_index[a["thread"]] for a in report["findings"][0]["actors"] if a["role"] == "holder"}
    expected = {(n, k["address"], k["owner_tid"], tuple(sorted(k["waiters"]))) for n, k in truth["locks"].items()}
    seen = {
        (k["name"], k["address"], k["owner"]["tid"], tuple(sorted(by_index[w["thread"]] for w in k["waiters"])))
        for k in report["locks"]
    }
    assert seen == expected
    assert holders == set(truth["cycle_tids"])
    assert len(report["wait_graph"]["cycles"]) == 1 and len(report["wait_graph"]["cycles"][0]) == 2 * len(expected)


def test_owner_that_does_not_exist_any_more() -> None:
    truth, (code, report, _) = truth_of("native-orphaned"), analyze("native-orphaned")
    lock = report["locks"][0]

    assert code == 10 and report["verdict"]["kind"] == "lock-orphaned"
    assert lock["owner"]["tid"] not in tids(report).values() and lock["owner"]["thread"] is None
    assert lock["owner"]["tid"] == truth["locks"]["ledger_lock"]["owner_tid"]


def test_thread_that_waits_for_its_own_lock() -> None:
    code, report, _ = analyze("native-self")
    assert code == 10 and report["verdict"]["sentence"] == "a thread waits for a lock that it holds itself"


@pytest.mark.parametrize("name", ["native-convoy", "native-convoy-busy"])
def test_slow_owner_is_no_deadlock(name: str) -> None:
    truth, (code, report, _) = truth_of(name), analyze(name)

    assert code == 0 and report["verdict"]["kind"] == "nothing-stuck"
    finding = next(f for f in report["findings"] if f["kind"] == "lock-contention")
    by_index = tids(report)
    owners = [by_index[a["thread"]] for a in finding["actors"] if a["role"] == "owner"]
    assert owners == [truth["locks"]["queue_lock"]["owner_tid"]]
