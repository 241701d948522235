"""macOS cores, with their real images and without: what the report says equals what was laid out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict

import pytest

from dumpwalk.analysis.observe import observe
from dumpwalk.engine.run import report_of
from tests.bare_process import bare_process
from tests.conftest import truth_of
from tests.real_cores import analyze, tids, write_lock

HANGS = tuple(
    f"macho/{name}"
    for name in (
        "incident-x64-10.0.9", "incident-arm64-10.0.9", "incident-arm64-pac-10.0.9", "incident-x64-3.1.23",
        "cycle-x64-10.0.9", "cycle-arm64-10.0.9",
    )
)  # fmt: skip
SAMPLE = "samples/darwin-x64-10.0.9-hang-sample"
WITH_IMAGES = [pytest.param(True, marks=pytest.mark.images, id="images"), pytest.param(False, id="no-images")]


def _functions(report: Dict[str, Any], index: int) -> list:
    thread = next(t for t in report["threads"] if t["index"] == index)
    return [(f["function"] or "").split("(")[0] for f in thread["frames"]]


@pytest.mark.parametrize("modules", WITH_IMAGES)
@pytest.mark.parametrize("name", HANGS)
def test_hang_equals_the_truth(name: str, modules: bool) -> None:
    truth = truth_of(name)
    code, report, stderr = analyze(name, modules=modules)

    assert (code, stderr, report["verdict"]["signature"]) == (10, "", "4fd21060")
    cache = report["dispatch_cache"]
    assert (cache["address"], cache["table"], cache["sentinel"]) == tuple(
        truth["cache"][k] for k in ("address", "table", "sentinel")
    )
    assert (cache["elements"], cache["buckets"]) == (truth["cache"]["elements"], truth["cache"]["buckets_used"])
    cycle = cache["cycles"][0]
    assert (
        cycle["bucket"] == truth["bucket"] and [_told(n, truth["cycle"][0]) for n in cycle["nodes"]] == truth["cycle"]
    )
    assert cycle["tail"] == [n["address"] for n in truth["tail"]]
    lock = write_lock(report)
    assert (lock["owner"]["thread"], lock["owner"]["tid"] & 0xFFFFFFFF, lock["owner"]["grade"]) == (
        truth["spinner"]["index"], truth["spinner"]["tid"] & 0xFFFFFFFF, "proved",
    )  # fmt: skip
    assert [w["thread"] for w in lock["waiters"]] == [w["index"] for w in truth["waiters"]]
    assert lock["implementation"] == ("pal-critical-section" if "3.1.23" in name else "apple-mutex")
    low = 0xFFFFFFFF  # THREADINFO holds the low 32 bits of a system-wide id
    assert {i: t & low for i, t in tids(report).items()} == {i + 1: t & low for i, t in enumerate(truth["tids"])}
    assert {t["tid_source"] for t in report["threads"]} <= {"os", "createdump"}


@pytest.mark.parametrize("name", HANGS)
def test_stacks_name_the_writers_without_images_too(name: str) -> None:
    truth, (_, report, _) = truth_of(name), analyze(name, modules=False)
    assert _functions(report, truth["spinner"]["index"])[:3] == [
        "DispatchCache::Insert", "VirtualCallStubManager::ResolveWorker", "VSD_ResolveWorker",
    ]  # fmt: skip
    for waiter in truth["waiters"]:
        functions = _functions(report, waiter["index"])
        enter = functions.index("CrstBase::Enter")
        through = {"Insert": "DispatchCache::Insert", "PromoteChainEntry": "DispatchCache::PromoteChainEntry"}
        assert functions[enter + 1] == through[waiter["through"]]


def _told(node: Dict[str, Any], by: Dict[str, Any]) -> Dict[str, Any]:
    """Of a node what the truth file knows."""
    return {key: node[key] for key in by}


def test_the_incident_as_it_was_reported() -> None:
    """The public report's facts: thread 25 in Insert, one element whose last word is its own address, 16 waiters."""
    _, report, _ = analyze("macho/incident-x64-10.0.9", modules=False)
    incident = {
        "address": "0x10c887480",
        "mt": "0x104ce34d0",
        "token": "0x200000001",
        "target": "0x592ff3a80",
        "next": "0x10c887480",
    }
    assert [_told(n, incident) for n in report["dispatch_cache"]["cycles"][0]["nodes"]] == [incident]
    assert report["dispatch_cache"]["cycles"][0]["bucket"] == 0x701
    finding = report["findings"][0]
    assert [a["thread"] for a in finding["actors"] if a["role"] == "spinner"] == [25]
    assert len([a for a in finding["actors"] if a["role"] == "waiter"]) == 16
    owner = next(e for e in finding["evidence"] if "owner" in e["what"])
    assert owner["grade"] == "proved" and owner["value"] == "3097189"


def test_what_is_missing_is_told() -> None:
    _, report, _ = analyze("macho/incident-x64-10.0.9", modules=False)
    missing = {m["path"]: m for m in report["modules"] if m["match"] == "missing"}
    assert missing["/Users/runner/app/azmcp"]["build_id"] == "bf2904e9b09439bd9504a778c4ac7c67"
    assert {c["status"] for c in report["coverage"] if c["area"] == "modules"} <= {"partial", "none"}


@pytest.mark.images
def test_image_check_is_a_fact_with_its_limits() -> None:
    _, report, _ = analyze("macho/incident-x64-10.0.9")
    facts = " ".join(report["runtime"]["facts"])
    assert "ResolveWorkerChainLookupAsmStub" in facts and "129531" in facts
    _, arm, _ = analyze("macho/incident-arm64-10.0.9")
    assert arm["runtime"]["facts"] == []


def test_damage_without_a_hang() -> None:
    truth, (code, report, _) = truth_of("macho/damage-x64-10.0.9"), analyze("macho/damage-x64-10.0.9", modules=False)
    assert code == truth["verdict"]["exit_code"] == 11
    assert report["verdict"]["kind"] == "dispatch-cache-damage"
    assert {v["kind"] for v in report["dispatch_cache"]["violations"]} == {"damaged-sentinel", "wrong-bucket"}


@pytest.mark.parametrize("name", ["macho/healthy-x64-10.0.9", "macho/healthy-arm64-10.0.9"])
def test_healthy(name: str) -> None:
    """No finding of the cache or of a lock; what the managed waits are for is not in the core, so they are not called harmless."""
    truth, (code, report, _) = truth_of(name), analyze(name, modules=False)
    assert (code, report["verdict"]["kind"]) == (truth["verdict"]["exit_code"], truth["verdict"]["kind"])
    assert (code, report["verdict"]["kind"]) == (12, "managed-wait-unknown")
    assert report["dispatch_cache"]["violations"] == [] and report["dispatch_cache"]["cycles"] == []
    assert [f["kind"] for f in report["findings"] if f["status"] == "hang"] == []
    waiting = [
        t for t in report["threads"] if t["state"] == "waiting" and any(f["kind"] == "managed" for f in t["frames"])
    ]
    assert len(waiting) == 23 and {(t["wait"] or {}).get("kind") for t in waiting} == {"condition"}


@pytest.mark.parametrize("modules", WITH_IMAGES)
def test_core_written_by_another_hand(modules: bool) -> None:
    truth, (code, report, _) = truth_of(SAMPLE), analyze(SAMPLE, modules=modules)
    assert (code, report["verdict"]["signature"]) == (10, "4fd21060")
    cycle = report["dispatch_cache"]["cycles"][0]
    assert (cycle["bucket"], [n["address"] for n in cycle["nodes"]], cycle["tail"]) == (
        truth["bucket"], truth["cycle"], truth["tail"],
    )  # fmt: skip
    lock = write_lock(report)
    assert (lock["address"], lock["owner"]["tid"]) == (truth["lock"], truth["owner_tid"])
    assert [w["thread"] - 1 for w in lock["waiters"]] == truth["waiters"]
    assert report["dispatch_cache"]["elements"] == truth["elements_reachable"]


@pytest.mark.parametrize("name", ["macho/incident-x64-10.0.9", "macho/incident-arm64-10.0.9"])
def test_without_thread_ids_no_claim_rests_on_a_position(name: str) -> None:
    """A dump by another writer than createdump: no THREADINFO, no note; lldb counts positions and calls them tids."""
    truth, process = truth_of(name), bare_process(name)
    threads = [replace(t, tid=t.index - 1, tid_source="synthetic") for t in process.threads]
    process.threads[:] = threads
    report = report_of(observe(process), "core", process.corefile)

    assert (report.verdict.signature, report.verdict.exit_code) == ("4fd21060", 10)
    finding = report.findings[0]
    assert finding.confidence == "corroborated" and "no thread ids to compare" in " ".join(finding.summary)
    lock = next(k for k in report.locks if report.dispatch_cache and k.address == report.dispatch_cache.lock)
    assert lock.owner is not None and (lock.owner.tid, lock.owner.thread) == (truth["spinner"]["tid"], None)
    held = [e for e in report.wait_graph.edges if e.kind == "held-by"]
    assert [(e.target, e.grade) for e in held] == [(f"thread-{truth['spinner']['index']}", "inferred")]
    assert [w.thread for w in lock.waiters] == [w["index"] for w in truth["waiters"]]
    assert next(c for c in report.coverage if c.area == "threads").status == "partial"
