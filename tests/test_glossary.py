"""Each word of the runtime's own is explained where a reader meets it first, in every format, and never again."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import List

import pytest

from dumpwalk.report import text
from dumpwalk.report.glossary import TERMS, Reader
from scripts.make_gallery import GALLERY
from tests.conftest import ROOT
from tests.golden_reports import GOLDEN, SIX, report_of
from tests.report_samples import SAMPLES

REPORTS = sorted(p for folder in (GOLDEN, GALLERY) for p in folder.glob("*.*") if p.suffix in (".txt", ".md", ".html"))
WHAT = {word: what for word, _, what in TERMS}


class _Prose(HTMLParser):
    """What stands on a page outside of code, links and drawings."""

    def __init__(self) -> None:
        super().__init__()
        self.out: List[str] = []
        self._within = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("a", "button", "code", "pre", "script", "style", "svg", "title"):
            self._within += 1
        self.out.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("a", "button", "code", "pre", "script", "style", "svg", "title"):
            self._within -= 1

    def handle_data(self, data: str) -> None:
        self.out.append("" if self._within else data)


def prose(body: str, kind: str) -> str:
    """The running text of a report, without its verdict line."""
    body = "\n".join(line for line in body.splitlines() if "dumpwalk-verdict: " not in line)
    if kind == ".html":
        reader = _Prose()
        reader.feed(body)
        body = "".join(reader.out)
    if kind == ".md":
        body = re.sub(r"^```.*?^```$", "", body, flags=re.MULTILINE | re.DOTALL)
        body = re.sub(r"`[^`\n]*`|<code>.*?</code>", "x", body)
    return " ".join(body.split())


def unexplained(told: str) -> List[str]:
    """Words whose first use is not followed by what they are, or that are explained again."""
    wrong = []
    for word, form, what in TERMS:
        first = re.search(rf"(?<![\w:.'~/-])(?:{form})(?:'s)?(?!\w|::|[/-])", told)
        if first is not None and not told[first.end() :].startswith(f" ({what})"):
            wrong.append(told[max(first.start() - 40, 0) : first.end() + 60])
        if told.count(f"({what})") > 1:
            wrong.append(f"{word} is explained again")
    return wrong


@pytest.mark.parametrize("path", REPORTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_in_every_report_that_is_kept(path: Path) -> None:
    assert unexplained(prose(path.read_text(encoding="utf-8"), path.suffix)) == []


@pytest.mark.parametrize("name", SIX)
def test_in_the_short_report(name: str) -> None:
    told = prose(text.render_short(report_of(name), 80), ".txt")
    assert unexplained(told) == [] and "Words" not in told


@pytest.mark.parametrize("width", [60, 250])
@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"hostile"}))
def test_at_any_width_and_in_a_section_alone(name: str, width: int) -> None:
    """On a wide page claims stand in columns, which are drawn before they are wrapped."""
    report = SAMPLES[name]()
    assert unexplained(prose(text.render(report, width), ".txt")) == []
    for view in (text.render_threads(report, width), text.render_section("locks", report, width)):
        assert unexplained(prose(view, ".txt")) == []


def test_names_and_code_are_no_words() -> None:
    for name in ("CrstBase::Enter~", "ThreadStore::m_Crst", "'PAL'", "a.PAL", "PAL::x", "/PAL/", "`PAL`", "CrstStatic"):
        assert Reader().prose(f"held by {name}") == f"held by {name}"
    fenced = "```text\nCrst\n```\n\n`Crst` and <code>Crst</code>\n"
    assert Reader().markdown(fenced) == fenced
    assert Reader().markdown(fenced + "Crst") == f"{fenced}Crst ({WHAT['Crst']})"
    linked = '<p title="Crst"><a href="#x">Crst</a> <code>Crst</code></p>'
    assert Reader().html(linked) == linked
    assert Reader().html("<p>Crst</p>") == f'<p><dfn>Crst</dfn> <span class="gloss">({WHAT["Crst"]})</span></p>'


def test_forms_of_a_word_are_one_word_and_one_reader_is_told_once() -> None:
    reader = Reader()
    assert reader.prose("a Crst's flags, and Crsts") == f"a Crst's ({WHAT['Crst']}) flags, and Crsts"
    assert reader.prose("the Crst") == "the Crst" and reader.left("the Crst on the PAL") == [("PAL", WHAT["PAL"])]


def test_no_explanation_needs_another() -> None:
    for word, _, what in TERMS:
        assert Reader().prose(what) == what and word.lower() not in what.lower()
