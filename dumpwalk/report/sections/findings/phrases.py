"""Which finding is told first, and its words that text, Markdown and HTML share."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from dumpwalk.report.model import Evidence, Finding, Report
from dumpwalk.report.names import ranges

CLAIMS = 30
"""Claims of one finding in the text; three for each of many spinning threads say no more than those of ten."""
OTHERS = 5
"""Other findings that are told near the top."""
SELECT = "thread select"


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


def answer_of(report: Report, finding: Optional[Finding]) -> Tuple[str, ...]:
    """The finding in a few sentences, without one that is the headline word for word."""
    headline = (report.verdict.headline or "").lower()
    return tuple(s for s in (finding.summary if finding else ()) if s.rstrip(".").lower() not in headline)


def crash_words(report: Report) -> str:
    """What crash or abort made the dump, in a sentence; empty for a dump of a process that ran on."""
    for finding in report.findings:
        if finding.kind == "crash" and finding.id == report.verdict.finding:
            return ""  # it is the headline, and told below it
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


def others_stuck(report: Report, main: Optional[Finding]) -> List[str]:
    """One line for each other finding that is no note: what it is, and whose; the last one counts what is not told. Why the
    process stands (a debugger, its end, a crash under createdump) is told beside a hang, too."""
    lines = []
    for other in other_findings(report, main):
        if other.kind == "not-a-hang" and report.verdict.status in ("hang", "suspicious"):
            lines.append(other.observed[0].rstrip("."))
        if other.status in ("hang", "suspicious"):
            threads = sorted({actor.thread for actor in other.actors})
            whose = f" (thread{'' if len(threads) == 1 else 's'} {ranges(threads, most=4)})" if threads else ""
            lines.append(f"{other.title.rstrip('.')}{whose}")
    return [*lines[:OTHERS], *([f"{len(lines) - OTHERS:,} more"] if len(lines) > OTHERS else [])]


def fact(evidence: Evidence) -> str:
    """`address = value`, or the one of them that there is."""
    if evidence.address and evidence.value:
        return f"{evidence.address} = {evidence.value}"
    return evidence.address or evidence.value or ""


def proof_title(finding: Finding) -> str:
    """`Proof` only where something is proved, of a finding that is more than a picture."""
    shown = finding.confidence != "inferred" and any(e.grade in ("proved", "corroborated") for e in finding.evidence)
    return "Proof" if shown else "What was seen"


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
