"""Real hangs on real runtimes: what the report says equals what was injected."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import truth_of, unpack_core
from tests.real_cores import HANGS_9, HANGS_31, SAMPLES, SINGLE_FILE, analyze, spinner_of, tids, write_lock

CYCLE_LINE = (
    "dumpwalk-verdict: hang dispatch-cache-cycle: a thread walks a cyclic bucket chain for ever holding "
    "DispatchCache::m_writeLock [sig 4fd21060]"
)


SINGLE = [pytest.param(name, marks=pytest.mark.images) for name in SINGLE_FILE]


@pytest.mark.parametrize("name", [*HANGS_31, *HANGS_9, *SAMPLES, *SINGLE])
def test_hang_equals_the_truth(name: str) -> None:
    truth = truth_of(name)
    code, report, stderr = analyze(name)

    assert (code, stderr) == (10, "")
    assert report["verdict"]["line"] == CYCLE_LINE
    cache = report["dispatch_cache"]
    assert [cache[k] for k in ("address", "lock", "sentinel", "walked")] == [
        truth["cache"], truth["lock"], truth["sentinel"], "complete",
    ]  # fmt: skip
    assert len(cache["cycles"]) == 1 and cache["violations"] == []
    cycle = cache["cycles"][0]
    order = cycle["tail"] + [n["address"] for n in cycle["nodes"]]
    assert cycle["bucket"] == truth["bucket"] and order == truth["chain"]
    assert {n["address"] for n in cycle["nodes"]} == set(truth["cycle"]) and cycle["length"] == len(truth["cycle"])
    assert [n["next"] for n in cycle["nodes"]] == [n["address"] for n in cycle["nodes"][1:]] + [cycle["entry"]]

    lock, by_index = write_lock(report), tids(report)
    assert lock["owner"]["tid"] == spinner_of(truth) and lock["owner"]["grade"] == "proved"
    assert by_index[lock["owner"]["thread"]] == spinner_of(truth)
    assert sorted(by_index[w["thread"]] for w in lock["waiters"]) == sorted(truth["waiters"])
    assert {w["grade"] for w in lock["waiters"]} <= {"proved", "corroborated"}


@pytest.mark.parametrize("name", ["hang-self", *HANGS_9, *SAMPLES, *SINGLE_FILE])
def test_without_any_module_file_the_proof_stands(name: str, tmp_path: object) -> None:
    """Heap dumps: frame 0's registers, the owner word and the chain are in the dump; what was lost is told."""
    truth = truth_of(name)
    code, report, _ = analyze(name, modules=False)

    assert code == 10 and report["verdict"]["line"] == CYCLE_LINE
    lock, by_index = write_lock(report), tids(report)
    assert lock["owner"]["tid"] == spinner_of(truth)
    assert sorted(by_index[w["thread"]] for w in lock["waiters"]) == sorted(truth["waiters"])


def test_one_signature_for_every_kind_of_dump() -> None:
    signatures = {analyze(name)[1]["verdict"]["signature"] for name in HANGS_31 + HANGS_9 + SAMPLES}
    assert signatures == {"4fd21060"}


def test_spinner_is_shown_in_the_loop_with_its_cursor_on_the_cycle() -> None:
    truth, (_, report, _) = truth_of("hang-tail"), analyze("hang-tail")
    finding = report["findings"][0]
    values = {e["value"] for e in finding["evidence"]}

    assert values & set(truth["cycle"]), "the cursor's value is a node of the loop"
    assert str(truth["spinner_tid"]) in values, "the owner word"
    assert {e["grade"] for e in finding["evidence"]} <= {"proved", "corroborated"}
    roles = {(tids(report)[a["thread"]], a["role"]) for a in finding["actors"]}
    assert (truth["spinner_tid"], "holder") in roles and (truth["spinner_tid"], "spinner") in roles


def test_stub_spin_names_the_spinners_and_invents_no_lock() -> None:
    truth, (code, report, _) = truth_of("spin-stub"), analyze("spin-stub")

    assert code == 10 and report["verdict"]["kind"] == "dispatch-cache-stub-spin"
    finding = report["findings"][0]
    spinners = {tids(report)[a["thread"]] for a in finding["actors"] if a["role"] == "spinner"}
    assert spinners == set(truth["spinners"])
    assert finding["locks"] == []
    assert all(lock["owner"] is None and lock["waiters"] == [] for lock in report["locks"])


def test_collection_that_waits_for_the_spinner_is_a_consequence() -> None:
    truth, (_, report, _) = truth_of("hang-stub-gc"), analyze("hang-stub-gc")

    assert [f["kind"] for f in report["findings"] if f["status"] in ("hang", "suspicious")] == [
        "dispatch-cache-stub-spin"
    ]
    text = " ".join(report["findings"][0]["summary"])
    by_tid = {tid: index for index, tid in tids(report).items()}
    assert f"the suspension that thread {by_tid[truth['suspending_tid']]} started" in text
    roles = {t["index"]: (t["managed"] or {}).get("role") for t in report["threads"]}
    assert roles[by_tid[truth["suspending_tid"]]] == "gc"


def test_collection_in_the_musl_hang_has_one_root() -> None:
    name = "samples/linux-musl-x64-10.0.12-hang-sample"
    truth, (_, report, _) = truth_of(name), analyze(name)
    by_tid = {tid: index for index, tid in tids(report).items()}

    assert [f["kind"] for f in report["findings"] if f["status"] in ("hang", "suspicious")] == ["dispatch-cache-cycle"]
    assert f"the suspension that thread {by_tid[truth['suspending_tid']]} started" in " ".join(
        report["findings"][0]["summary"]
    )


def test_damage_is_named_and_no_hang_claimed() -> None:
    truth, (code, report, _) = truth_of("damage-cross"), analyze("damage-cross")

    assert code == 11 and report["verdict"]["status"] == "suspicious"
    kinds = {(v["kind"], v["bucket"]) for v in report["dispatch_cache"]["violations"]}
    buckets = {b for kind, b in kinds if kind == "shared-node"}
    assert buckets and report["dispatch_cache"]["cycles"] == []
    assert truth["bucket"] in {v["bucket"] for v in report["dispatch_cache"]["violations"]}


def test_healthy_is_called_healthy() -> None:
    code, report, stderr = analyze("healthy")
    assert (code, stderr, report["verdict"]["kind"]) == (0, "", "nothing-stuck")
    assert report["dispatch_cache"]["walked"] == "complete" and report["dispatch_cache"]["elements"] > 1000


def test_normal_dump_gives_the_picture_of_the_stacks() -> None:
    truth, (code, report, _) = truth_of("hang-self-normal"), analyze("hang-self-normal")

    assert code == 12 and report["verdict"]["kind"] == "not-captured"
    finding = next(f for f in report["findings"] if f["kind"] == "stacks-only")
    by_index = tids(report)
    assert {by_index[a["thread"]] for a in finding["actors"] if a["role"] == "waiter"} == set(truth["waiters"])
    assert {by_index[a["thread"]] for a in finding["actors"] if a["role"] == "spinner"} == {truth["spinner_tid"]}
    assert "--withheap" in " ".join(finding["summary"])
    assert report["dispatch_cache"] is None
    assert "wait for one lock, and thread" in finding["title"]


def test_waits_on_a_word_that_a_normal_dump_lacks_are_told_without_any_name(dumpwalk_command: Any) -> None:
    """Without the runtime's file nothing says that it is a lock; how many wait on one word, the registers say."""
    truth, (code, report, _) = truth_of("hang-self-normal"), analyze("hang-self-normal", modules=False)
    finding, by_index = next(f for f in report["findings"] if f["kind"] == "stacks-only"), tids(report)
    assert code == 12 and finding["title"].startswith("15 threads wait on one word")
    assert {by_index[a["thread"]] for a in finding["actors"] if a["role"] == "waiter"} == set(truth["waiters"])
    locks = next(c for c in report["coverage"] if c["area"] == "locks")
    assert locks["status"] == "partial" and "not in the dump" in locks["why"]
    word = next(e["value"] for e in finding["evidence"] if (e["command"] or "").endswith("register read rdi"))
    done = dumpwalk_command("threads", unpack_core("hang-self-normal"), "--waiting-on", word)
    assert done.returncode == 12 and done.stdout.startswith(f"15 threads of {len(report['threads'])}\n")


def test_same_core_same_bytes() -> None:
    first, second = analyze("hang-self"), analyze("hang-self", "--timeout", "299")
    assert first[1] == second[1]


@pytest.mark.parametrize(
    ("name", "version"), [("net10-single-hang-self", "10.0.9"), ("net8-single-hang-self", "8.0.30")]
)
def test_single_file_host_is_known_without_its_file(name: str, version: str) -> None:
    runtime = analyze(name, modules=False)[1]["runtime"]
    assert (runtime["version"], runtime["flavour"], runtime["version_source"]) == (
        version,
        "single-file",
        "DotNetRuntimeInfo",
    )
    assert runtime["build_id"] and runtime["layout"].endswith("confirmed by structure")


@pytest.mark.parametrize("name", [*HANGS_9, *SAMPLES[:2], *SINGLE])
def test_stripped_frames_get_inferred_names(name: str) -> None:
    report = analyze(name)[1]
    holder = write_lock(report)["owner"]["thread"]
    frames = next(t for t in report["threads"] if t["index"] == holder)["frames"]
    assert [(f["function"], f["name_source"]) for f in frames[:3]] == [
        ("DispatchCache::Insert", "inferred"),
        ("VirtualCallStubManager::ResolveWorker", "inferred"),
        ("VSD_ResolveWorker", "inferred"),
    ]


@pytest.mark.images
@pytest.mark.parametrize("name", [*SINGLE_FILE])
def test_assemblies_of_a_single_file_program_are_read_from_its_executable(name):
    """They are parts of it, mapped where the kernel's list says; neither dump holds them."""
    _, report, _ = analyze(name)
    named = {c["area"]: c for c in report["coverage"]}["managed-code"]
    assert "managed frames named" in named["why"] and "token" not in named["why"]
    methods = [f["function"] for t in report["threads"] for f in t["frames"] if f["kind"] == "managed"]
    assert len(methods) > 80 and not any("!06" in m for m in methods if m)
    assert sum(m.startswith("System.Threading.") for m in methods if m) > 10
