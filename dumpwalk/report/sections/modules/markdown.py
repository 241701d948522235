"""Modules that lack, in Markdown."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.markdown_escape import code, details, fence, more, prose, table
from dumpwalk.report.model import Finding, Report
from dumpwalk.report.section import MarkdownPart
from dumpwalk.report.sections.modules.phrases import fetch_commands, lacking, nameless

MODULES = 20


def modules(report: Report, finding: Optional[Finding]) -> str:
    absent = lacking(report)
    if not absent:
        return ""
    known = [module for module in absent if module.build_id or module.fetch]
    rows = [(code(m.path), m.match, code(m.build_id or "")) for m in known[:MODULES]]
    body = table(("module", "match", "build-id"), rows) if rows else ""
    body += more(len(known), MODULES, "module")
    commands = fetch_commands(known)
    if commands:
        body += "\n\nFetch them with:\n\n" + fence("\n".join(commands))
    others = nameless(absent)
    if others:
        body += f"\n\nMissing, with no build-id to fetch them by: {prose(others)}."
    return details(f"Missing modules: {len(absent)} of {len(report.modules)}", body)


MARKDOWN = (MarkdownPart("modules", rank=84, worth=20, write=modules),)
