"""Lock words of a real hang rewritten: what the report claims follows what memory now says, and never more."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List

from dumpwalk.analysis.observe import observe
from dumpwalk.core.memory import BytesMemory, LayeredMemory
from dumpwalk.engine.run import report_of
from dumpwalk.report.model import Report
from tests.bare_process import bare_process, rewrite
from tests.conftest import truth_of

TRUTH = truth_of("hang-self")
LOCK = int(TRUTH["lock"], 16)
LAST = int(TRUTH["chain"][-1], 16)
MENDED = {LAST + 0x18: int(TRUTH["sentinel"], 16)}


def _report(words: Dict[int, int], holes: List[range]) -> Report:
    process = rewrite(bare_process("hang-self"), words, holes)
    return report_of(observe(process), "core", process.corefile)


def _critical_section(count: int, recursion: int, owner: int) -> Dict[int, int]:
    """LockCount and RecursionCount share the word at +8, OwningThread is at +0x10."""
    return {LOCK + 8: count | recursion << 32, LOCK + 0x10: owner}


def test_free_lock_with_waiters_and_nobody_awakened() -> None:
    report = _report({**MENDED, **_critical_section(15 << 2, 0, 0)}, [])
    assert (report.verdict.kind, report.verdict.exit_code) == ("lock-lost-wakeup", 11)
    waiters = {t.tid for t in report.threads for a in report.findings[0].actors if a.thread == t.index}
    assert waiters == set(TRUTH["waiters"])


def test_awakened_waiter_is_a_hand_over_and_nothing_to_report() -> None:
    report = _report({**MENDED, **_critical_section(15 << 2 | 2, 0, 0)}, [])
    assert report.verdict.exit_code == 0


def test_owner_that_is_no_thread() -> None:
    gone = max(TRUTH["tids"]) + 1000
    report = _report({**MENDED, **_critical_section(15 << 2 | 1, 1, gone)}, [])
    assert (report.verdict.kind, report.verdict.exit_code) == ("lock-orphaned", 10)
    assert report.locks[0].owner is not None and (report.locks[0].owner.tid, report.locks[0].owner.thread) == (
        gone,
        None,
    )


def test_slow_owner_is_a_note() -> None:
    report = _report({**MENDED, **_critical_section(15 << 2 | 1, 1, TRUTH["spinner_tid"])}, [])
    assert report.verdict.exit_code == 0 and {f.status for f in report.findings} == {"none"}
    contention = next(f for f in report.findings if f.kind == "lock-contention")
    tids = {t.index: t.tid for t in report.threads}
    assert [tids[a.thread] for a in contention.actors if a.role == "owner"] == [TRUTH["spinner_tid"]]


def test_owner_word_that_names_another_thread_weakens_the_claim() -> None:
    """The spinner stands on the cycle in Insert, but the lock says that a waiter owns it: contradictory, so not proved."""
    report = _report(_critical_section(15 << 2 | 1, 1, TRUTH["waiters"][0]), [])
    assert report.verdict.exit_code != 0
    for finding in report.findings:
        for evidence in finding.evidence:
            if "owner" in evidence.what and evidence.grade == "proved":
                assert str(TRUTH["spinner_tid"]) != evidence.value
    assert "holding DispatchCache::m_writeLock" not in report.verdict.line


def test_key_that_is_in_the_loop_ends_the_walk() -> None:
    """A spinner whose key the loop's node holds is about to leave: no hang by it."""
    key = TRUTH["key"]
    report = _report({LAST: int(key["mt"], 16), LAST + 8: int(key["token"], 16)}, [])
    assert report.verdict.status != "hang" and report.dispatch_cache is not None
    assert report.dispatch_cache.cycles[0].length == 1


def test_node_whose_page_is_not_in_the_dump_is_unknown_not_healthy() -> None:
    page = LAST & ~0xFFF
    report = _report({}, [range(page, page + 0x1000)])
    assert report.dispatch_cache is not None and report.dispatch_cache.walked == "partial"
    assert report.verdict.exit_code in (11, 12)
    said = " ".join([report.verdict.headline or "", *(f.title for f in report.findings)])
    assert "part of the dispatch cache is not in the dump" in said.lower() and "what they wait on" not in said


def test_second_thread_in_the_stub_on_the_same_cycle_is_stuck_too() -> None:
    """A waiter of the real hang given the registers of one that walks the same chain in the assembly stub, lock-free."""
    process = bare_process("hang-self")
    stub = bytes.fromhex(
        "488b40184885c0742d483b1075f24c3b500875ec"
    )  # the loop of ResolveWorkerChainLookupAsmStub, Linux x64
    place = 0x10000
    process.code = LayeredMemory([BytesMemory([(place, stub)]), process.code])
    walker = next(t for t in process.threads if t.tid == TRUTH["waiters"][3])
    moved = {"rip": place + 4, "rax": LAST, "rdx": 0x1000, "r10": 0x2, "orig_rax": (1 << 64) - 1}
    process.threads[process.threads.index(walker)] = replace(walker, registers={**walker.registers, **moved})
    report = report_of(observe(process), "core", process.corefile)

    finding = report.findings[0]
    assert (finding.kind, report.verdict.signature) == ("dispatch-cache-cycle", "4fd21060")
    tids = {t.index: t.tid for t in report.threads}
    assert {tids[a.thread] for a in finding.actors if a.role == "spinner"} == {
        TRUTH["spinner_tid"],
        TRUTH["waiters"][3],
    }
    assert {tids[a.thread] for a in finding.actors if a.role == "holder"} == {TRUTH["spinner_tid"]}
    assert len([a for a in finding.actors if a.role == "waiter"]) == len(TRUTH["waiters"]) - 1
    assert "is stuck on the same loop too, without the lock" in " ".join(finding.summary)


def test_two_buckets_that_lead_into_one_loop_are_told_apart_by_the_key() -> None:
    """The other bucket's number is lower, so its chain is walked first; the spinner looks for a key of its own bucket."""
    bucket, other = TRUTH["bucket"], 3
    assert other < bucket
    report = _report({int(TRUTH["table"], 16) + 8 * other: LAST}, [])
    assert report.dispatch_cache is not None
    cycles = {c.bucket: c for c in report.dispatch_cache.cycles}
    assert set(cycles) == {other, bucket}
    assert (cycles[other].tail, len(cycles[bucket].tail)) == ((), len(TRUTH["chain"]) - 1)
    finding = report.findings[0]
    assert finding.buckets == (bucket,) and f"following bucket {bucket} of" in finding.summary[0]
    assert report.verdict.signature == "4fd21060"
    told = [v for v in report.dispatch_cache.violations if v.kind == "shared-node"]
    assert [(v.bucket, f"bucket {other}" in v.detail) for v in told] == [(bucket, True)]
