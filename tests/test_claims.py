"""Claims carry their identity: the verdict names its finding, a signature tells its parts, and display changes neither."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dumpwalk.claims.model import Verdict
from dumpwalk.claims.signature import signature
from dumpwalk.core.names import plain
from dumpwalk.detectors.detector import all_detectors
from dumpwalk.engine.run import analyze_process
from dumpwalk.report import json_format, names
from tests.bare_process import bare_process
from tests.conftest import ROOT
from tests.real_cores import analyze


@pytest.mark.parametrize("name", ["native-abba", "managed/linux-x64-10.0.12-monitor-three", "damage-cross"])
def test_a_nicer_way_to_show_functions_and_counts_renames_no_signature(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = analyze_process(bare_process(name), "core")
    monkeypatch.setattr(names, "short", lambda function: function.rsplit("::", 1)[-1].upper())
    monkeypatch.setattr(names, "mark", lambda text, source: f"<{text}>")
    monkeypatch.setattr(names, "WORDS", {})
    after = analyze_process(bare_process(name), "core")
    assert before.verdict.signature and before.verdict.signature == after.verdict.signature
    assert before.findings[0].signature_parts == after.findings[0].signature_parts != ()


@pytest.mark.parametrize(
    ("function", "identity"),
    [
        ("DispatchCache::Insert(ResolveCacheElem*, DispatchCache::InsertKind)", "DispatchCache::Insert"),
        ("std::__1::vector<int, a<b>>::push_back(int&&) const", "std::vector::push_back"),
        ("(anonymous namespace)::lock()", "{anonymous}::lock"),
        ("read@GLIBC_2.2.5", "read"),
        ("bool ns::operator<(A const&, A const&)", "ns::operator<"),
        ("void f<int>(int) [clone .cold]", "f"),
        ("no balance(", "no balance("),
    ],
)
def test_identity_of_a_function(function: str, identity: str) -> None:
    assert plain(function) == identity


@pytest.mark.parametrize("name", ["native-abba", "native-self", "damage-cross", "hang-self"])
def test_the_verdict_names_its_finding_and_the_finding_its_parts(name: str) -> None:
    report = analyze(name)[1]
    finding = next(f for f in report["findings"] if f["id"] == report["verdict"]["finding"])
    assert (
        finding["sentence"] == report["verdict"]["sentence"] and finding["signature"] == report["verdict"]["signature"]
    )
    assert signature(finding["kind"], finding["signature_parts"]) == finding["signature"]


def test_a_verdict_without_a_finding_names_none() -> None:
    assert analyze("healthy")[1]["verdict"]["finding"] is None


def test_a_report_of_before_and_one_of_later_are_read() -> None:
    value = analyze("native-self")[1]
    del value["verdict"]["finding"], value["findings"][0]["signature_parts"]
    value["verdict"]["status"], value["findings"][0]["evidence"][0]["grade"] = "later-word", "another"
    report = json_format.from_dict(value)
    assert isinstance(report.verdict, Verdict) and report.verdict.finding is None
    assert (report.verdict.status, report.findings[0].evidence[0].grade) == ("later-word", "another")


def test_detectors_have_a_rank_and_a_text_each() -> None:
    detectors = all_detectors()
    assert len({d.rank for d in detectors}) == len({d.kind for d in detectors}) == len(detectors) > 9
    for detector in detectors:
        assert (ROOT / "dumpwalk" / "detectors" / f"{detector.kind}.md").is_file()
        assert detector.sentences and set(detector.sentences) <= {"hang", "suspicious", "inconclusive", "none"}


_NEW = '''
"""thread-count: a note for every process."""
from typing import List
from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Finding
from dumpwalk.detectors.detector import Detector

def detect(facts: Facts) -> List[Finding]:
    count = f"{len(facts.process.threads)} threads."
    return [Finding("many", "many-threads", "proved", count, (count,), (), (), (), (), (), status="suspicious",
                    signature_parts=("many",))]

DETECTOR = Detector("many-threads", 1, {"suspicious": "there are threads"}, "suspicious (11)", detect)
'''


def test_a_new_finding_kind_is_one_file_and_its_text(tmp_path: Path) -> None:
    """Copied beside the others in a copy of the package: found, run, explained, and its sentence is the verdict's."""
    copy = tmp_path / "dumpwalk"
    subprocess.run(["cp", "-r", str(ROOT / "dumpwalk"), str(copy)], check=True)
    (copy / "detectors" / "many_threads.py").write_text(_NEW, encoding="utf-8")
    (copy / "detectors" / "many-threads.md").write_text(
        "# many-threads\n\nThere are threads. Some.\n", encoding="utf-8"
    )
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "import dumpwalk.explanations as texts\n"
        "from dumpwalk.engine.run import analyze_process\n"
        "from tests.bare_process import bare_process\n"
        "print(analyze_process(bare_process('native-convoy'), 'core').verdict.line)\n"
        "print(texts.__file__.startswith(sys.argv[1]), 'many-threads' in texts.listing())\n"
    )
    argv = [sys.executable, "-c", script, str(tmp_path), str(ROOT)]
    done = subprocess.run(argv, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    line = f"dumpwalk-verdict: suspicious many-threads: there are threads [sig {signature('many-threads', ['many'])}]"
    assert done.stdout.splitlines() == [line, "True True"], done.stderr
