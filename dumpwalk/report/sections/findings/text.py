"""A finding in text: drawing, evidence line by line, what follows, what it leaves open, how to see it in lldb."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from dumpwalk.report.escape import display_width
from dumpwalk.report.model import Evidence, Finding, Report
from dumpwalk.report.section import TextPart
from dumpwalk.report.sections.dispatch_cache.drawing import drawing
from dumpwalk.report.sections.findings.phrases import (
    CLAIMS,
    answer_of,
    crash_words,
    fact,
    other_findings,
    others_stuck,
    proof_title,
    repro_notes,
)
from dumpwalk.report.text_page import GRADE_COLOUR, INDENT, Page, pad

GRADE_COLUMNS = 14
MEMORY_WORD = 50
"""Columns of `address = value`, both 64 bits, and some."""


def answer(page: Page, report: Report, finding: Optional[Finding]) -> None:
    """The crash that made the dump, and the answer in a few sentences."""
    crash = crash_words(report)
    if crash:
        page.blank()
        page.say(page.name(crash), f"{INDENT}Crash: ", INDENT)
    told = answer_of(report, finding)
    if told:
        page.blank()
        for sentence in told:
            page.say(page.name(sentence))


def proof(page: Page, report: Report, finding: Optional[Finding]) -> None:
    if finding is None:
        return
    cycles = [c for c in (report.dispatch_cache.cycles if report.dispatch_cache else ()) if c.bucket in finding.buckets]
    if not cycles and not finding.evidence and not finding.observed and not finding.therefore:
        return
    page.heading(proof_title(finding))
    for cycle in cycles:
        for line in drawing(cycle, page.width):
            page.raw(line)
    if cycles:
        page.blank()
    if finding.evidence:
        evidence_lines(page, finding.evidence)
    else:
        for seen in finding.observed:
            page.labelled("seen", page.name(seen), GRADE_COLUMNS)
    for conclusion in finding.therefore:
        page.labelled("therefore", page.name(conclusion), GRADE_COLUMNS)


def evidence_lines(page: Page, every: Sequence[Evidence], indent: str = INDENT) -> None:
    """One claim a line where the page is wide enough for all of them, else its memory word below it."""
    evidence = every[:CLAIMS]
    rows = [(e.grade, page.reader.prose(page.name(e.what)), fact(e), page.reader.prose(e.how)) for e in evidence]
    what = max(display_width(row[1]) for row in rows)
    word = max(display_width(row[2]) for row in rows)
    how = max(display_width(row[3]) for row in rows)
    if len(indent) + GRADE_COLUMNS + what + 3 + word + 3 + how <= page.width:
        for grade, claim, place, source in rows:
            page.raw(f"{indent}{page.grade(grade, GRADE_COLUMNS)}{pad(claim, what + 3)}{pad(place, word + 3)}{source}")
    else:
        _two_lines_each(page, rows, indent)
    if len(every) > len(evidence):
        page.say(f"{len(every) - len(evidence):,} claims more of the same kind: the JSON has them all", indent)


def _two_lines_each(page: Page, rows: Sequence[Tuple[str, str, str, str]], indent: str) -> None:
    for grade, claim, place, source in rows:
        page.labelled(grade, claim, GRADE_COLUMNS, indent, style=GRADE_COLOUR.get(grade, ""))
        hang = indent + " " * GRADE_COLUMNS
        if display_width(place) > MEMORY_WORD:  # no memory word but text that came with it
            page.say(page.name(place), hang, hang + INDENT)
            place = ""
        if place or source:
            page.say(source, hang + (place + "   " if place and source else place), hang + INDENT)


def open_ends(page: Page, report: Report, finding: Optional[Finding]) -> None:
    """What would explain it as well, and what it does not show."""
    if finding is None:
        return
    for title, items in (
        ("Consistent with", finding.consistent_with),
        ("What this does not establish", finding.not_established),
    ):
        if items:
            page.heading(title)
            for item in items:
                page.say(page.name(item), INDENT + "- ")


def repro(page: Page, report: Report, finding: Optional[Finding]) -> None:
    if finding is None or not finding.repro:
        return
    page.heading("See it yourself")
    for line, note in repro_notes(finding):
        page.command(f"(lldb) {line}", note=note)


def others(page: Page, report: Report, finding: Optional[Finding]) -> None:
    rest = other_findings(report, finding)
    if not rest:
        return
    page.heading("Also found" if finding else "Notes")
    for other in rest:
        _other(page, other)


def others_in_short(page: Page, report: Report, finding: Optional[Finding]) -> None:
    """What else does not go on: a line each."""
    lines = others_stuck(report, finding)
    if not lines:
        return
    page.heading("Also found")
    for line in lines:
        page.say(page.name(line), INDENT + "- ")


def _other(page: Page, finding: Finding) -> None:
    """A finding that is not the verdict's: shorter, but nothing of it is left out."""
    page.say(page.name(finding.title), f"{INDENT}{finding.kind}: ", INDENT * 2)
    told = {finding.title.rstrip("."), *(e.what[:1].upper() + e.what[1:] for e in finding.evidence)}
    for sentence in finding.summary or finding.observed:
        if sentence.rstrip(".") not in told:
            page.say(page.name(sentence), INDENT * 2)
    for conclusion in finding.therefore:
        page.say(page.name(conclusion), INDENT * 2 + "therefore: ", INDENT * 3)
    if finding.evidence:
        evidence_lines(page, finding.evidence, INDENT * 2)
    for item in finding.not_established:
        page.say(page.name(item), INDENT * 2 + "not shown: ", INDENT * 3)
    for line, note in repro_notes(finding):
        page.command(f"(lldb) {line}", INDENT * 2, note)


TEXT = (
    TextPart(rank=10, write=answer, short=answer),
    TextPart(rank=42, write=None, short=others_in_short),
    TextPart(rank=45, write=proof),
    TextPart(rank=60, write=open_ends),
    TextPart(rank=65, write=repro),
    TextPart(rank=70, write=others),
)
