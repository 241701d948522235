"""The type loader's lock: a handler of AssemblyResolve that runs under it wants a lock whose owner wants the type."""

from __future__ import annotations

from dumpwalk.analysis.observe import observe
from dumpwalk.core.memory import read_u32
from dumpwalk.engine.run import report_of
from tests.bare_process import bare_process, rewrite
from tests.real_cores import analyze, tids, truth_of

CORE = "hangs/net8-type-load"
TRUTH = truth_of(CORE)
NAME = "the type loader's lock of Library.Novel"


def test_ring_over_a_type_that_is_loaded_names_the_type() -> None:
    code, report, _ = analyze(CORE)
    reader, librarian = (TRUTH["threads"][role]["tid"] for role in ("reader", "librarian"))
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (10, "hang", "lock-cycle")
    (cycle,) = [f for f in report["findings"] if f["kind"] == "lock-cycle"]
    assert sorted(tids(report)[a["thread"]] for a in cycle["actors"]) == sorted([reader, librarian])
    row = next(k for k in report["locks"] if k["name"] == NAME)
    assert [o["tid"] for o in row["owners"]] == [reader]
    assert [(tids(report)[w["thread"]], w["grade"]) for w in row["waiters"]] == [(librarian, "proved")]
    assert f"waits for {NAME}, in Library.Program." in cycle["summary"][1]
    assert row["words"][-1].endswith("(Library.Novel)")


def test_lock_whose_key_is_no_type_has_no_such_name() -> None:
    """The Module of the TypeKey leads elsewhere, or its token is a method's: the ring stands, of a lock without a name."""
    process = bare_process(CORE)
    report = report_of(observe(process), "core", process.corefile)
    row = next(k for k in report.locks if k.name == NAME)
    token = next(int(word.split(" at ")[1].split()[0], 16) for word in row.words if "TypeDef" in word)
    assert read_u32(process.memory, token) is not None
    at = token & ~7
    for changes in ({at - 8: 0x10010}, {at: 0x06000002}):
        changed = rewrite(bare_process(CORE), changes)
        again = report_of(observe(changed), "core", changed.corefile)
        assert not any("type loader" in (k.name or "") for k in again.locks)
        assert (again.verdict.exit_code, again.verdict.kind) == (10, "lock-cycle")
