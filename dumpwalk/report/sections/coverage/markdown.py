"""Coverage in Markdown."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.markdown_escape import prose, table
from dumpwalk.report.model import Finding, Report
from dumpwalk.report.section import MarkdownPart


def coverage(report: Report, finding: Optional[Finding]) -> str:
    rows = [
        (prose(line.area), "not covered" if line.status == "none" else line.status, prose(line.why))
        for line in report.coverage[:40]
    ]
    return "### Coverage\n\n" + table(("area", "covered", "why"), rows) if rows else ""


MARKDOWN = (MarkdownPart("coverage", rank=90, worth=140, write=coverage),)
