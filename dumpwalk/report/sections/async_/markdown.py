"""Awaiting methods in Markdown: a table of chains."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.markdown_escape import code, more, prose, table
from dumpwalk.report.model import Finding, Report
from dumpwalk.report.names import ranges
from dumpwalk.report.section import MarkdownPart
from dumpwalk.report.sections.async_.model import Async
from dumpwalk.report.sections.async_.phrases import ending

ROWS, STEPS = 16, 8


def chains(report: Report, finding: Optional[Finding]) -> str:
    value = report.of(Async)
    if value is None or not value.chains:
        return ""
    rows = []
    for chain in value.chains[:ROWS]:
        names = [step.label for step in chain.steps]
        if len(names) > STEPS:
            names = [*names[: STEPS // 2], f"... {len(names) - STEPS} more ...", *names[-STEPS // 2 :]]
        who = ranges(chain.threads, most=8) if chain.threads else ""
        rows.append((f"{chain.count:,}", who, code(" -> ".join(names)), prose(ending(chain))))
    header = ("chains", "threads that block", "methods, each waits for the next", "the last one")
    return "### Awaiting methods\n\n" + table(header, rows) + more(len(value.chains), ROWS, "kind of chain")


MARKDOWN = (MarkdownPart("awaiting methods", rank=55, worth=75, write=chains),)
