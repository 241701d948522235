"""Sections of the report: a folder each, found by walking. One that is added shows in every format, and no other file knows it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Iterator

import pytest

from dumpwalk.report import html, json_format, markdown, schema, schema_words, sections, text
from dumpwalk.report.section import shown_in_full
from tests.report_samples import hang_self

KEY = "knots"
FACES = {
    "__init__.py": "",
    "model.py": """
from dataclasses import dataclass
from typing import Optional, Tuple
from dumpwalk.claims.words import Address

@dataclass(frozen=True)
class Knot:
    address: Address
    hands: int

@dataclass(frozen=True)
class Knots:
    tied: Tuple[Knot, ...]
    why: Optional[str] = None

MODEL = Knots
LINES = ("tied",)
""",
    "words.py": 'WORDS = {"Report.knots": "Knots.", "Knots.tied": "All.", "Knots.why": "Why.", "Knot.address": "Where.", '
    '"Knot.hands": "How many."}',
    "text.py": """
from dumpwalk.report.section import TextPart
from dumpwalk.report.sections.knots.model import Knots

def write(page, report, finding):
    found = report.of(Knots)
    if found is not None:
        page.heading(f"Knots tied: {len(found.tied)}")

TEXT = (TextPart(55, write),)
IN_FULL = lambda page, report: write(page, report, None)
""",
    "markdown.py": """
from dumpwalk.report.section import MarkdownPart
from dumpwalk.report.sections.knots.model import Knots

MARKDOWN = (MarkdownPart("knots", 55, 5, lambda report, finding: "### Knots" if report.of(Knots) else ""),)
""",
    "html.py": """
from dumpwalk.report.section import HtmlPart
from dumpwalk.report.sections.knots.model import Knots

HTML = (HtmlPart(55, "knots", "knots/page.html.j2", lambda core: core.report.of(Knots), lambda view: "Knots"),)
""",
    "page.html.j2": '<p id="{{ core.id("knots") }}">{{ view.tied[0].hands }} hands at {{ view.tied[0].address }}</p>',
}


def _forget() -> None:
    for cached in (sections.models, sections.one_a_line, json_format._reader, json_format._keys):
        cached.cache_clear()


@pytest.fixture
def knots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    folder = tmp_path / "knots"
    folder.mkdir()
    for name, body in FACES.items():
        (folder / name).write_text(body, encoding="utf-8")
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    _forget()
    yield sections.models()["knots"]
    monkeypatch.undo()
    _forget()
    for name in [name for name in sys.modules if name.startswith("dumpwalk.report.sections.knots")]:
        del sys.modules[name]


def test_a_folder_is_all_that_a_section_needs(knots: type, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = hang_self()
    knot = sys.modules[knots.__module__].Knot
    report = replace(bare, sections=(knots((knot("0x1000", 2), knot("0x2000", 3))),))
    told = json_format.dumps(report)
    assert ' "knots": {\n  "tied": [\n   {"address": "0x1000", "hands": 2},\n' in told
    read = json_format.from_dict(json_format.to_dict(report))
    assert read == report and read.of(knots) == getattr(read, KEY) == report.sections[0]
    assert getattr(json_format.from_dict(json_format.to_dict(bare)), KEY) is None
    defined = schema.build()["$defs"]
    assert defined["Report"]["properties"]["knots"]["anyOf"][0] == {"$ref": "#/$defs/Knots"}
    assert defined["Knot"]["properties"]["address"]["pattern"] == schema_words.ADDRESS_PATTERN
    assert "Knots tied: 2" in text.render(report) and "Knots tied" not in text.render(bare)
    assert "knots" in shown_in_full() and text.render_section("knots", report).startswith("Knots tied: 2")
    assert "### Knots" in markdown.render(report) and markdown.dropped_first()[0] == "knots"
    page = html.render([report])
    assert '<a href="#knots">Knots</a>' in page and "2 hands at 0x1000" in page
    assert 'id="knots"' not in html.render([bare])


def test_a_report_has_no_attribute_that_is_no_section() -> None:
    with pytest.raises(AttributeError, match="a report has no 'knots'"):
        getattr(hang_self(), KEY)
