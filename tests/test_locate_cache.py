"""Each way to the cache alone, on real cores; damaged, saturated and unknown structures on rewritten ones."""

from __future__ import annotations

import random
import struct
from typing import Dict, List, Tuple

import pytest

from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr import layouts as layout_table
from dumpwalk.coreclr.dispatch.cache import DERIVED
from dumpwalk.coreclr.dispatch.locate import flag_words, scan
from dumpwalk.engine.run import report_of
from tests.bare_process import bare_process, rewrite
from tests.conftest import truth_of

X64_10 = "samples/linux-x64-10.0.12-hang-sample"
ARM64_10 = "samples/linux-arm64-10.0.12-hang-sample"
MUSL_10 = "samples/linux-musl-x64-10.0.12-hang-sample"
MAC_X64 = "samples/darwin-x64-10.0.9-hang-sample"


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("net9-hang-self", "register"), (X64_10, "register"), (ARM64_10, "register"), (MUSL_10, "register"),
        ("hang-self", "register"), (MAC_X64, "register"),
        ("net9-hang-self", "dac-table"), (X64_10, "dac-table"), (ARM64_10, "dac-table"), (MUSL_10, "dac-table"),
        ("net9-hang-self", "structural-scan"), (X64_10, "structural-scan"), (ARM64_10, "structural-scan"),
        (MUSL_10, "structural-scan"), ("hang-self", "structural-scan"), ("healthy", "structural-scan"),
        (MAC_X64, "structural-scan"),
    ],
)  # fmt: skip
def test_each_way_works_alone(name: str, way: str) -> None:
    facts = observe(bare_process(name), ways=(way,))
    assert facts.cache is not None and facts.cache.located_by == [way]
    assert f"0x{facts.cache.shape.address:x}" == truth_of(name)["cache"]
    assert facts.cache.others == []


def test_two_ways_are_cross_checked() -> None:
    facts = observe(bare_process(X64_10))
    assert facts.cache is not None and facts.cache.located_by == ["register", "dac-table"]


def test_no_way_no_answer() -> None:
    process = bare_process("healthy")
    facts = observe(process, ways=("dac-table",))
    report = report_of(facts, "core", process.corefile)
    assert (report.verdict.status, report.verdict.kind, report.verdict.exit_code) == ("inconclusive", "not-found", 12)


def _number(text: str) -> int:
    return int(text, 16)


def test_damaged_sentinel_does_not_hide_the_cache() -> None:
    truth = truth_of("hang-self")
    process = rewrite(bare_process("hang-self"), {_number(truth["sentinel"]): 0xFFFFFFFFFFFFFF03})
    for way in ("structural-scan", "register"):
        facts = observe(process, ways=(way,))
        assert facts.cache is not None and f"0x{facts.cache.shape.address:x}" == truth["cache"]
        assert [d.kind for d in facts.cache.walk.damage] == ["damaged-sentinel"]


def test_saturated_table_has_no_empty_slot_and_is_found() -> None:
    """A busy program fills all 4096 buckets: the sentinel then stands only at the ends of chains."""
    truth = truth_of("healthy")
    process = bare_process("healthy")
    memory = process.memory
    table, sentinel = _number(truth["table"]), _number(truth["sentinel"])
    slots = struct.unpack("<4096Q", memory.read(table, 0x8000) or b"")
    empty = [i for i, slot in enumerate(slots) if slot == sentinel]
    room = _unused(process, 32 * len(empty))
    first = next(slot for slot in slots if slot != sentinel)
    mt, token = struct.unpack("<2Q", memory.read(first, 16) or b"")
    base = _bucket_of_zero_mt(mt, token, slots.index(first))
    words: Dict[int, int] = {}
    for position, bucket in enumerate(empty):
        node = room + 32 * position
        words.update(
            {node: ((bucket ^ base) << 3), node + 8: token, node + 16: 1, node + 24: sentinel, table + 8 * bucket: node}
        )
    facts = observe(rewrite(process, words), ways=("structural-scan",))

    assert facts.cache is not None and f"0x{facts.cache.shape.address:x}" == truth["cache"]
    assert facts.cache.walk.used_buckets == 4096 and facts.cache.walk.damage == []


def _bucket_of_zero_mt(mt: int, token: int, bucket: int) -> int:
    """HashToken(token), solved from one element that stands where it belongs."""
    return bucket ^ ((((mt >> 12) + mt) >> 3) & 0xFFF)


def _unused(process: object, size: int) -> int:
    """Writable captured memory that nothing in the cache uses: its old content does not matter once rewritten."""
    segments = process.memory.segments()  # type: ignore[attr-defined]
    largest = max((s for s in segments if s.writable), key=lambda s: s.file_size)
    assert largest.file_size > 4 * size
    return int(largest.start + largest.file_size // 2) & ~31


def test_layout_of_another_lock_size_is_derived_and_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the row of this version the structure itself tells, from the walker's own code and the lock's words."""
    other = tuple(
        layout_table.Layout(**{**r.__dict__, "crst_size": 0x58}) if r.lock == "pthread-mutex" else r
        for r in layout_table.LAYOUTS
    )
    monkeypatch.setattr(layout_table, "LAYOUTS", other)
    truth, process = truth_of(X64_10), bare_process(X64_10)
    facts = observe(process)
    report = report_of(facts, "core", process.corefile)

    assert facts.cache is not None and facts.cache.shape.layout.verified == DERIVED
    assert report.dispatch_cache is not None and report.dispatch_cache.address == truth["cache"]
    assert report.runtime is not None and str(report.runtime.layout).startswith("unknown layout, derived")
    assert (
        report.verdict.exit_code == 10
        and report.locks[0].owner is not None
        and report.locks[0].owner.tid == truth["tid"]
    )


def test_wrong_rows_give_no_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of 9 on a core of 10, nothing else to go by: the lock they describe is not there."""
    wrong = tuple(r for r in layout_table.LAYOUTS if r.lock != "pthread-mutex")
    monkeypatch.setattr(layout_table, "LAYOUTS", wrong)
    process = bare_process(X64_10)
    report = report_of(observe(process), "core", process.corefile)
    assert report.verdict.exit_code == 12 and report.dispatch_cache is None


def test_flag_words_are_found_at_every_8_aligned_place() -> None:
    random.seed(7)
    data = bytearray(random.randbytes(1 << 16))
    old, new = b"\x08\0\0\xc0", b"\x08\0\0\x80"
    places: List[Tuple[int, bytes]] = [(0, new), (8, old), (65528, new), (4104, old)]
    for at, value in places:
        data[at : at + 4] = value
    data[4116:4120] = b"\x08\0\0\x80"  # 4-aligned only
    assert flag_words(bytes(data)) == sorted(at for at, _ in places)


def test_scan_reports_a_second_runtime() -> None:
    process = bare_process("hang-self")
    truth = truth_of("hang-self")
    memory, table = process.memory, _number(truth["table"])
    room = _unused(process, 0x9000)
    words = {room + at: struct.unpack("<Q", memory.read(table - 0x98 + at, 8) or b"")[0] for at in range(0, 0x80A0, 8)}
    shapes, complete = scan(rewrite(process, words).memory, observe(bare_process("hang-self")).layouts)
    assert complete and sorted(s.table for s in shapes) == sorted([table, room + 0x98])
