"""Findings in Markdown."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.markdown_escape import code, fence, more, prose, table
from dumpwalk.report.model import Finding, Report
from dumpwalk.report.next_steps import steps
from dumpwalk.report.section import MarkdownPart
from dumpwalk.report.sections.findings.phrases import (
    answer_of,
    crash_words,
    fact,
    other_findings,
    others_stuck,
    proof_title,
    repro_notes,
)

EVIDENCE = 40
"""Claims of one finding."""


def answer(report: Report, finding: Optional[Finding]) -> str:
    crash = crash_words(report)
    parts = [f"**Crash.** {prose(crash)}"] if crash else []
    told = answer_of(report, finding)
    if told:
        parts.append(" ".join(prose(sentence) for sentence in told))
    also = others_stuck(report, finding)
    if also:
        parts.append(f"**Also found:** {'; '.join(map(prose, also))}.")
    return "\n\n".join(parts)


def what_next(report: Report, finding: Optional[Finding]) -> str:
    """The next commands, where no hang is shown."""
    if report.verdict.status == "hang":
        return ""
    lines = []
    for step in steps(report, finding):
        lines += [f"# {step.what}", step.command]
    return "### What next\n\n" + fence("\n".join(lines)) if lines else ""


def proof(report: Report, finding: Optional[Finding]) -> str:
    if finding is None:
        return ""
    parts = [f"### {proof_title(finding)}"]
    if finding.evidence:
        rows = [(e.grade, prose(e.what), code(fact(e)), prose(e.how)) for e in finding.evidence[:EVIDENCE]]
        rest = more(len(finding.evidence), EVIDENCE, "claim")
        parts.append(table(("grade", "claim", "memory or register", "how it is known"), rows) + rest)
    else:
        parts.append("\n".join(f"- {prose(seen)}" for seen in finding.observed))
    if finding.therefore:
        parts.append("\n".join(f"- {prose(text)}" for text in finding.therefore))
    return "\n\n".join(part for part in parts if part) if len(parts) > 1 and any(parts[1:]) else ""


def open_ends(report: Report, finding: Optional[Finding]) -> str:
    parts = []
    if finding and finding.not_established:
        parts.append("### What this does not establish\n\n" + _items(finding.not_established))
    if finding and finding.consistent_with:
        parts.append("### Consistent with\n\n" + _items(finding.consistent_with))
    return "\n\n".join(parts)


def _items(texts: object) -> str:
    return "\n".join(f"- {prose(text)}" for text in texts) if isinstance(texts, tuple) else ""


def repro(report: Report, finding: Optional[Finding]) -> str:
    if finding is None or not finding.repro:
        return ""
    lines = []
    for command, note in repro_notes(finding):
        lines += [f"# {note}", command] if note else [command]
    return "### See it yourself, in lldb\n\n" + fence("\n".join(lines))


def others(report: Report, finding: Optional[Finding]) -> str:
    rows = []
    for other in other_findings(report, finding):
        said = " ".join((other.title, *(other.summary or other.observed), *other.therefore))
        rows.append((code(other.kind), other.confidence, prose(said), "; ".join(map(prose, other.not_established))))
    return "### Also found\n\n" + table(("kind", "grade", "what", "not shown"), rows) if rows else ""


MARKDOWN = (
    MarkdownPart("summary", rank=10, worth=160, write=answer),
    MarkdownPart("what next", rank=44, worth=125, write=what_next),
    MarkdownPart("proof", rank=45, worth=150, write=proof),
    MarkdownPart("open questions", rank=60, worth=130, write=open_ends),
    MarkdownPart("lldb commands", rank=65, worth=110, write=repro),
    MarkdownPart("other findings", rank=70, worth=80, write=others),
)
