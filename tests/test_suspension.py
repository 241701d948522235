"""A suspension of the runtime: a consequence where its root is known, a finding of its own where not."""

from __future__ import annotations

from dumpwalk.analysis.observe import observe
from dumpwalk.engine.run import report_of
from tests.bare_process import bare_process, rewrite
from tests.conftest import truth_of

MUSL = "samples/linux-musl-x64-10.0.12-hang-sample"


def test_suspension_without_a_known_root_is_suspicious() -> None:
    """The musl hang with its cycle mended in memory and its lock free: what is left is a suspension that waits."""
    truth = truth_of(MUSL)
    process = bare_process(MUSL)
    last = int(truth["chain"][-1], 16)
    lock = int(truth["lock"], 16)
    process = rewrite(
        process,
        {last + 0x18: int(truth["sentinel"], 16), lock: 1, lock + 8: 0, lock + 16: 0},
    )
    report = report_of(observe(process), "core", process.corefile)
    finding = report.findings[0]

    assert (finding.kind, report.verdict.status, report.verdict.exit_code) == ("gc-suspension", "suspicious", 11)
    tids = {t.index: t.tid for t in report.threads}
    assert [tids[a.thread] for a in finding.actors if a.role == "suspender"] == [truth["suspending_tid"]]
    blocking = {tids[a.thread] for a in finding.actors if a.role == "blocking"}
    assert truth["tid"] in blocking and truth["suspending_tid"] not in blocking
    why = [line for line in finding.summary[1:] if f"(tid {truth['tid']}) is running" in line]
    assert why, finding.summary
    assert all(e.value == "1" for e in finding.evidence if e.address and "cooperative" in e.what)


def test_modes_are_on_the_threads() -> None:
    truth = truth_of(MUSL)
    report = report_of(observe(bare_process(MUSL)), "core", None)
    modes = {t.tid: t.managed.mode for t in report.threads if t.managed}
    assert {modes[tid] for tid in [truth["tid"], *truth["waiters"]]} == {"cooperative"}
    roles = {t.tid: t.managed.role for t in report.threads if t.managed}
    assert roles[truth["suspending_tid"]] == "gc" and "finalizer" in roles.values()
