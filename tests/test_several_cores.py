"""Several cores in one call: by severity, one full report for each signature, a verdict line with its name for every core."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Callable, List

import pytest

from dumpwalk.report import html, markdown, several, summary
from dumpwalk.report.model import FailedCore, Report
from tests.conftest import unpack_core
from tests.html_pages import parse
from tests.report_samples import SAMPLES, hang_self

BAD = FailedCore("bad.core", "It is no core dump.", 1)


def named(report: Report, path: str, **verdict: object) -> Report:
    changed = replace(report.verdict, **verdict)  # type: ignore[arg-type]
    if "signature" in verdict:
        changed = replace(changed, line=changed.line.replace(str(report.verdict.signature), str(verdict["signature"])))
    return replace(report, dump=replace(report.dump, path=path), verdict=changed)


@pytest.fixture
def fleet() -> List[several.Entry]:
    return [
        named(SAMPLES["healthy"](), "d/quiet"),
        BAD,
        named(hang_self(), "d/one"),
        named(SAMPLES["damage"](), "d/damaged"),
        named(hang_self(), "d/other", signature="00000001"),
        named(hang_self(), "d/two"),
        named(hang_self(), "d/three", signature="00000001"),
        named(hang_self(), "d/four", signature="00000001"),
    ]


def test_the_worst_comes_first_and_each_signature_is_told_once(fleet):
    told = several.told(fleet)
    assert [several.path_of(t.entry) for t in told] == ["d/other", "d/one", "d/damaged", "bad.core", "d/quiet"]
    assert [[r.dump.path for r in t.like] for t in told] == [["d/three", "d/four"], ["d/two"], [], [], []]


def test_reports_without_a_signature_are_told_once_by_their_picture():
    quiet = [named(SAMPLES["healthy"](), f"d/{i}", fingerprint="aa" if i < 2 else None) for i in range(4)]
    assert [len(t.like) for t in several.told(quiet)] == [1, 0, 0]


def test_text_has_one_line_for_each_core_and_one_full_report_for_each_signature(fleet):
    text = summary.render_text(fleet)
    lines = re.findall(r"(?m)^(\S+): dumpwalk-verdict: .*$", text)
    assert lines == ["other", "three", "four", "one", "two", "damaged", "quiet"]
    assert "\ndumpwalk-verdict:" not in text
    assert text.count("Proof") == 3  # two hangs and the damage


def test_cores_of_one_name_go_by_their_paths():
    text = summary.render_text([named(hang_self(), "a/core"), named(hang_self(), "b/core", signature="00000001")])
    assert re.findall(r"(?m)^(\S+): dumpwalk-verdict:", text) == ["a/core", "b/core"]


def test_markdown_keeps_hangs_when_it_must_drop():
    many: List[several.Entry] = [named(SAMPLES["damage"](), f"d/damaged{i}", signature=f"{i:08x}") for i in range(40)]
    many.append(named(hang_self(), "d/hang"))
    text = summary.render_markdown(many, 12_000)
    assert len(text.encode()) <= 12_000 and "left out to stay within" in text
    assert text.index("**Core** `d/hang`") < text.index("**Core** `d/damaged")
    assert len(markdown.render(hang_self(), 8_000)) < text.index("**Core** `d/damaged")  # the hang has its share


def test_the_page_has_a_row_for_each_core_and_a_section_for_each_signature(fleet):
    page = parse(html.render(fleet))
    links = [a for row in page.all("table", class_="verdicts")[0].all("tr")[1:] for a in row.all("a")]
    sections = [e["id"] for e in page.all("section") if e["id"].startswith("core-")]
    assert len(links) == 8 and len(sections) == 5
    assert {a["href"] for a in links} == {f"#{name}" for name in sections}


def test_paths_that_are_missing_or_no_files_do_not_stop_the_rest(dumpwalk_command: Callable, tmp_path: Path):
    (tmp_path / "empty").write_bytes(b"")
    core = unpack_core("native-abba")
    done = dumpwalk_command("analyze", tmp_path / "not-there", tmp_path, tmp_path / "empty", core)
    assert done.returncode == 10, done.stderr
    assert done.stdout.rstrip().count("Not analysed:") == 3
    assert f"{core.name}: dumpwalk-verdict: hang lock-cycle" in done.stdout
    assert len(done.stderr.splitlines()) == 3
