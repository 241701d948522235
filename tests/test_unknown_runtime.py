"""A runtime of a version that no row describes: analysed by its structure and labelled so, or inconclusive; never wrong."""

from __future__ import annotations

import struct

from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr import layouts as layout_table
from dumpwalk.coreclr.layouts import LAYOUTS, matching
from dumpwalk.engine.run import report_of
from tests.bare_process import Rewritten, bare_process, rewrite
from tests.conftest import truth_of

NAME = "samples/darwin-x64-10.0.9-hang-sample"


def _as_version_12():  # type: ignore[no-untyped-def]
    """The core of 10.0.9 whose DotNetRuntimeInfo words say 12.0.0 instead: rewritten, nothing else touched."""
    process = bare_process(NAME)
    memory = process.memory
    for segment in memory.segments():
        data = memory.read(segment.start, segment.file_size) or b""
        at = data.find(b"DotNetRuntimeInfo\0")
        if at >= 0 and struct.unpack_from("<i", data, at + 0x60)[0] == 10:
            first, second = struct.unpack_from("<QQ", data, at + 0x60)
            assert (first & 0xFFFFFFFF, second) != (12, 0)
            return rewrite(process, {segment.start + at + 0x60: first & ~0xFFFFFFFF | 12})
    raise AssertionError("the core holds no version words")


def test_unknown_version_is_analysed_by_structure_and_labelled() -> None:
    process = _as_version_12()
    report = report_of(observe(process), "core", process.corefile)
    truth = truth_of(NAME)

    assert report.runtime is not None and str(report.runtime.version).startswith("12.")
    assert str(report.runtime.layout).startswith("no offsets are known of version 12")
    assert report.verdict.exit_code == 10 and report.verdict.signature == "4fd21060"
    assert report.dispatch_cache is not None and report.dispatch_cache.address == truth["cache"]
    owner = report.locks[0].owner
    assert owner is not None and owner.tid == truth["owner_tid"]


def test_unknown_version_whose_structure_fits_nothing_is_inconclusive() -> None:
    """The lock's flags word gone: no row and no derivation may claim a cache."""
    process = _as_version_12()
    assert isinstance(process.memory, Rewritten)
    table = int(truth_of(NAME)["table"], 16)
    memory = Rewritten(process.memory, {table - 8: 0})
    process.memory = memory
    report = report_of(observe(process), "core", process.corefile)
    assert report.dispatch_cache is None
    assert (report.verdict.status, report.verdict.exit_code) == ("inconclusive", 12)
    picture = next(f for f in report.findings if f.kind == "stacks-only")
    said = " ".join([report.verdict.headline or "", picture.title, *picture.summary])
    assert "was not found" in said and "not in the dump" not in said and "would hold" not in said, "it is a heap dump"


def test_every_platform_of_every_version_has_one_row_at_most() -> None:
    for os, arch, libc in (
        ("linux", "x86_64", "glibc"), ("linux", "x86_64", "musl"), ("linux", "aarch64", "glibc"), ("linux", "aarch64", "musl"),
        ("macos", "x86_64", "apple"), ("macos", "aarch64", "apple"),
    ):  # fmt: skip
        for major in (3, 5, 6, 7, 8, 9, 10, 11):
            rows = [r for r in matching(os, arch, libc, major) if r.versions[0] <= major <= r.versions[1]]
            sizes = {r.crst_size for r in rows}
            assert len(sizes) <= 1, (os, arch, libc, major, rows)
            if major != 3 or (libc != "musl" and (os, arch) != ("macos", "aarch64")):
                assert len(sizes) == 1, (os, arch, libc, major)


def test_rows_without_a_binary_say_so() -> None:
    assert {r.verified for r in LAYOUTS if r.versions == (11, 11)} == {"inferred"}
    assert all(r.source for r in layout_table.LAYOUTS)
