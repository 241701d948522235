"""A finding in text: drawing, evidence line by line, what follows, what it leaves open, how to see it in lldb."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk.report.escape import display_width
from dumpwalk.report.model import Evidence, Finding, Report
from dumpwalk.report.text_chain import drawing
from dumpwalk.report.text_page import GRADE_COLOUR, INDENT, Page, pad

GRADE_COLUMNS = 14
CLAIMS = 30
"""Claims of one finding in the text; three for each of many spinning threads say no more than those of ten."""
SELECT = "thread select"
MEMORY_WORD = 50
"""Columns of `address = value`, both 64 bits, and some."""


def main_finding(report: Report) -> Optional[Finding]:
    """The finding that the verdict tells of; None for a verdict without one."""
    verdict = report.verdict
    for finding in report.findings:
        if finding.id == verdict.finding or (verdict.finding is None and finding.kind == verdict.kind):
            return finding
    for finding in report.findings:
        if finding.status == verdict.status and finding.status != "none":
            return finding
    return None


def crash_words(report: Report) -> str:
    """What crash or abort made the dump, in a sentence; empty for a dump of a process that ran on."""
    for finding in report.findings:
        if finding.kind == "crash":
            return " ".join(finding.summary or (finding.title,))
    crash = report.dump.crash
    if crash is None:
        return ""
    what = crash.signal_name or (f"signal {crash.signal}" if crash.signal is not None else "a crash")
    where = f" in thread {crash.thread}" if crash.thread is not None else ""
    return f"{what}{where}: {crash.detail}"


def other_findings(report: Report, main: Optional[Finding]) -> List[Finding]:
    """The findings that are told after the main one; a crash that `crash_words` tells in full is not told again."""
    told = crash_words(report)
    return [f for f in report.findings if f is not main and not (f.kind == "crash" and told and not f.evidence)]


def fact(evidence: Evidence) -> str:
    """`address = value`, or the one of them that there is."""
    if evidence.address and evidence.value:
        return f"{evidence.address} = {evidence.value}"
    return evidence.address or evidence.value or ""


def proof_title(finding: Finding) -> str:
    """`Proof` only where something is proved."""
    return "Proof" if any(e.grade in ("proved", "corroborated") for e in finding.evidence) else "What was seen"


def proof(page: Page, report: Report, finding: Finding) -> None:
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
    rows = [(e.grade, page.name(e.what), fact(e), e.how) for e in evidence]
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


def open_ends(page: Page, finding: Finding) -> None:
    """What would explain it as well, and what it does not show."""
    for title, items in (
        ("Consistent with", finding.consistent_with),
        ("What this does not establish", finding.not_established),
    ):
        if items:
            page.heading(title)
            for item in items:
                page.say(page.name(item), INDENT + "- ")


def repro_notes(finding: Finding) -> List[Tuple[str, str]]:
    """(lldb line, what to look for in its output), from the evidence that names the same command."""
    notes: Dict[Tuple[str, str], str] = {}
    for evidence in finding.evidence:
        lines = (evidence.command or "").split("\n")
        selected = lines[0] if len(lines) > 1 and lines[0].startswith(SELECT) else ""
        value = (evidence.shows or "").rstrip(":")
        shows = f"shows {value}: " if value and value not in evidence.what else ""
        notes.setdefault((selected, lines[-1]), shows + evidence.what)
    out = []
    selected = ""
    for line in finding.repro:
        if line.startswith(SELECT):
            selected = line
        out.append((line, notes.get(("", line)) or notes.get((selected, line), "")))
    return out


def repro(page: Page, finding: Finding) -> None:
    if not finding.repro:
        return
    page.heading("See it yourself")
    for line, note in repro_notes(finding):
        page.command(f"(lldb) {line}", note=note)


def other(page: Page, finding: Finding) -> None:
    """A finding that is not the verdict's: shorter, but nothing of it is left out."""
    page.say(page.name(finding.title), f"{INDENT}{finding.kind}: ", INDENT * 2)
    for sentence in finding.summary or finding.observed:
        if sentence.rstrip(".") != finding.title.rstrip("."):
            page.say(page.name(sentence), INDENT * 2)
    for conclusion in finding.therefore:
        page.say(page.name(conclusion), INDENT * 2 + "therefore: ", INDENT * 3)
    if finding.evidence:
        evidence_lines(page, finding.evidence, INDENT * 2)
    for item in finding.not_established:
        page.say(page.name(item), INDENT * 2 + "not shown: ", INDENT * 3)
    for line, note in repro_notes(finding):
        page.command(f"(lldb) {line}", INDENT * 2, note)
