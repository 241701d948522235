"""`-o report.xml` and `analyze --store`: CI systems show the hang as a failed test, the report says since when it is known."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Callable
from xml.etree import ElementTree

from dumpwalk.report import html, junit, markdown, text
from dumpwalk.report.model import FailedCore
from tests.conftest import CORES, unpack_core
from tests.report_samples import SAMPLES, hang_self


def test_each_core_is_a_test_case_with_the_outcome_that_its_verdict_means():
    entries = [
        FailedCore("d/bad.core", "It is no core.\x00", 1, "not-a-core"),
        *(SAMPLES[name]() for name in ("healthy", "inconclusive", "damage", "hostile")),
        hang_self(),
    ]
    suite = ElementTree.fromstring(junit.render(entries).encode()).find("testsuite")
    assert suite is not None
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    outcomes = [case[0].tag for case in suite]
    assert outcomes.count("error") == 1 and outcomes.count("system-out") == 1 and outcomes[0] == "failure"
    assert counts == {
        "tests": "6", "errors": "1", "failures": str(outcomes.count("failure")), "skipped": str(outcomes.count("skipped")),
    }  # fmt: skip
    messages = [f.get("message") for f in suite.iter("failure")]
    assert hang_self().verdict.line in messages
    full = next(f for f in suite.iter("failure") if f.get("message") == hang_self().verdict.line)
    assert str(full.text).endswith(hang_self().verdict.line + "\n")
    assert str(next(suite.iter("error")).get("message")).startswith("It is no core.")


def test_what_is_known_stands_under_the_verdict_in_every_format():
    said = "Seen 3 times since 2026-11-21, see https://example.org/7."
    report = replace(hang_self(), verdict=replace(hang_self().verdict, known=said))
    assert said in " ".join(text.render(report).split("\n\n")[0].split())
    assert said in html.render([report])
    assert "Seen 3 times since 2026-11-21" in markdown.render(report)[:600]
    assert text.render(report).splitlines()[-1] == hang_self().verdict.line


def test_analyze_stores_and_tells(dumpwalk_command: Callable, tmp_path: Path):
    core, store, xml = unpack_core("native-abba"), tmp_path / "s.sqlite", tmp_path / "report.xml"
    other = tmp_path / "other.core"
    other.write_bytes(core.read_bytes())
    os.utime(other, (1_700_000_000, 1_700_000_000))
    options = ("-m", CORES / "bin", "--store", store, "-f", "json", "-o", xml)
    first = dumpwalk_command("analyze", other, *options)
    again = dumpwalk_command("analyze", other, *options)
    said = [json.loads(done.stdout)["verdict"]["known"] for done in (first, again)]
    assert said == ["Seen once since 2023-11-14."] * 2
    assert first.returncode == 10
    case = ElementTree.parse(xml).getroot().find("testsuite/testcase")
    assert case is not None and case.get("name") == "other.core"
    assert str(case[0].get("message")).startswith("dumpwalk-verdict: hang lock-cycle")
