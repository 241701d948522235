"""Modules that lack, and how to fetch them, below what was analysed."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.model import Finding, Report
from dumpwalk.report.names import base_name
from dumpwalk.report.section import TextPart
from dumpwalk.report.sections.modules.phrases import fetch_commands, lacking, nameless
from dumpwalk.report.text_page import INDENT, Page

MODULES = 12


def modules(page: Page, report: Report, finding: Optional[Finding]) -> None:
    absent = lacking(report)
    known = [module for module in absent if module.build_id or module.fetch]
    for module in known[:MODULES]:
        note = f", build-id {module.build_id}" if module.build_id else ""
        page.labelled("", f"{module.match}: {base_name(module.path)}{note}", 10)
    if len(known) > MODULES:
        page.labelled("", f"{len(known) - MODULES} more lack; the JSON lists them all", 10)
    commands = fetch_commands(known)
    if commands:
        page.labelled("", "fetch them with", 10)
        for command in commands:
            page.command(command, INDENT + " " * 12)
    others = nameless(absent)
    if others:
        page.labelled("", "missing, with no build-id to fetch them by: " + others, 10)


TEXT = (TextPart(rank=92, write=modules),)
