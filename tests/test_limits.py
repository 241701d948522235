"""A limit that is hit shows in coverage and verdict and is never "no"; every limit is used and documented."""

from __future__ import annotations

import importlib.util
import re
import subprocess

import pytest

from dumpwalk import limits
from dumpwalk.engine.run import Options, analyze_core
from dumpwalk.errors import CannotDecompress, MalformedCore
from tests.conftest import ROOT, unpack_core

HEALTHY, NATIVE, LOOP, DAMAGED = (
    "healthy",
    "native-convoy",
    "macho/cycle-x64-10.0.9",
    "macho/damage-x64-10.0.9",
)


def analyzed(tmp_path, name: str, **options):
    return analyze_core(str(unpack_core(name)), Options(**options), None, str(tmp_path))


def area(report, name: str):
    return next(c for c in report.coverage if c.area == name)


def test_without_a_limit_hit_both_are_healthy(tmp_path):
    assert analyzed(tmp_path, HEALTHY).verdict.status == "none"
    assert analyzed(tmp_path, NATIVE).verdict.status == "none"


@pytest.mark.parametrize(
    ("name", "limit", "value", "kind", "where", "words"),
    [
        (HEALTHY, "THREADS", 5, "threads-unknown", "threads", "others are missing"),
        (NATIVE, "THREADS", 3, "threads-unknown", "threads", "others are missing"),
        (HEALTHY, "FRAMES_PER_THREAD", 3, "limit-hit", "stacks", "cut at 3 frames"),
        (NATIVE, "FRAMES_PER_THREAD", 2, "limit-hit", "stacks", "cut at 2 frames"),
        (HEALTHY, "CHAIN_NODES", 100, "limit-hit", "dispatch-cache", "ended after 100 elements"),
        (NATIVE, "IMAGES", 1, "limit-hit", "modules", "only the first 1 mapped files"),
        (NATIVE, "NOTE_BYTES", 5000, "truncated", "threads", "others are missing"),
        (HEALTHY, "MANAGED_THREADS", 4, "limit-hit", "managed-threads", "ended after 4"),
    ],
)
def test_a_limit_hit_is_never_no(tmp_path, monkeypatch, name, limit, value, kind, where, words):
    monkeypatch.setattr(limits, limit, value)
    report = analyzed(tmp_path, name)
    assert (report.verdict.status, report.verdict.kind) == ("inconclusive", kind)
    assert area(report, where).status in ("partial", "none")
    assert words in area(report, where).why


@pytest.mark.parametrize(("limit", "value"), [("SCAN_BYTES", 0), ("SCAN_CANDIDATES", 0)])
def test_a_search_that_was_cut_does_not_say_that_there_is_no_cache(tmp_path, monkeypatch, limit, value):
    whole = analyzed(tmp_path, HEALTHY, ways=("structural-scan",))
    assert whole.verdict.status == "none" and whole.dispatch_cache is not None
    monkeypatch.setattr(limits, limit, value)
    report = analyzed(tmp_path, HEALTHY, ways=("structural-scan",))
    assert report.dispatch_cache is None
    assert (report.verdict.status, report.verdict.kind) == ("inconclusive", "limit-hit")
    assert "the search of memory ended at a limit" in area(report, "dispatch-cache").why


def test_a_list_that_is_shortened_tells_its_whole_length(tmp_path, monkeypatch):
    whole = analyzed(tmp_path, DAMAGED)
    monkeypatch.setattr(limits, "VIOLATIONS", 1)
    report = analyzed(tmp_path, DAMAGED)
    assert len(report.dispatch_cache.violations) == 1 < len(whole.dispatch_cache.violations)
    assert report.dispatch_cache.violation_count == whole.dispatch_cache.violation_count
    assert report.verdict.status == whole.verdict.status == "suspicious"


def test_a_loop_longer_than_the_list_of_it_is_looked_at_as_a_whole(tmp_path, monkeypatch):
    whole = analyzed(tmp_path, LOOP)
    (cycle,) = whole.dispatch_cache.cycles
    assert cycle.length > 2
    monkeypatch.setattr(limits, "CYCLE_NODES", 1)
    report = analyzed(tmp_path, LOOP)
    (short,) = report.dispatch_cache.cycles
    assert (len(short.nodes), short.length, short.tail) == (1, cycle.length, cycle.tail)
    assert report.verdict.line == whole.verdict.line
    links = [e for f in report.findings for e in f.evidence if e.what.startswith("pNext of")]
    assert links[-1].value == cycle.entry, "the way back to the entry is evidence in the short list too"
    assert {e.value for e in links} <= {n.next for n in cycle.nodes}


@pytest.mark.parametrize(
    ("name", "limit", "value"),
    [(NATIVE, "PROGRAM_HEADERS", 3), (LOOP, "LOAD_COMMANDS", 3), (LOOP, "LOAD_COMMAND_BYTES", 100)],
)
def test_more_than_is_read_is_refused_with_a_sentence(tmp_path, monkeypatch, name, limit, value):
    monkeypatch.setattr(limits, limit, value)
    with pytest.raises(MalformedCore):
        analyzed(tmp_path, name)


def test_a_bomb_is_not_expanded(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "DECOMPRESSED_BYTES", 100_000)
    packed = ROOT / "fixtures" / "cores" / f"{NATIVE}.core.xz"
    with pytest.raises(CannotDecompress, match="expands to more than"):
        analyze_core(str(packed), Options(), None, str(tmp_path))
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) <= 100_000


def test_a_walk_ends_at_its_limit_with_exit_code_12(dumpwalk_command):
    core = unpack_core("macho/healthy-x64-10.0.9")
    done = dumpwalk_command("walk", core, "0x7f9a3b80f220", "--next", "0", "--limit", "1", "-f", "json")
    assert done.returncode == 12, done.stderr
    assert '"length": 1' in done.stdout


def limit_names() -> list:
    return [name for name in vars(limits) if name.isupper()]


def test_every_limit_is_used():
    done = subprocess.run(
        ["grep", "-rhoE", r"limits\.[A-Z_]+", "--include=*.py", "dumpwalk"], cwd=ROOT, capture_output=True, text=True
    )
    used = set(re.findall(r"limits\.([A-Z_]+)", done.stdout))
    assert sorted(set(limit_names()) - used) == []
    assert sorted(used - set(limit_names())) == []


def test_the_page_of_limits_is_made_from_the_source():
    spec = importlib.util.spec_from_file_location("make_limits_table", ROOT / "scripts" / "make_limits_table.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    text = maker.PAGE.read_text(encoding="utf-8")
    assert maker.page(text) == text, "run python scripts/make_limits_table.py"
    assert [name for name, _, _ in maker.entries()] == limit_names()
    assert all(why for _, _, why in maker.entries())
