"""What to do next, at the end of the short report: the commands for this dump."""

from __future__ import annotations

import shlex
from typing import List, Optional, Tuple

from dumpwalk.report.model import Finding, Report
from dumpwalk.report.text_page import INDENT, Page

_LACKING = 4
"""Areas of the coverage that are told."""


def what_next(page: Page, report: Report, finding: Optional[Finding]) -> None:
    page.heading("What next")
    if report.verdict.status in ("inconclusive", "suspicious"):
        for entry in [c for c in report.coverage if c.status != "complete"][:_LACKING]:
            page.say(f"{entry.area}, {entry.status}: {entry.why}", INDENT, INDENT + "  ")
    for command, what in _commands(report, finding):
        page.raw(INDENT + command)  # in one piece, to be copied
        page.say(what, INDENT + "    ", INDENT + "    ")


def _commands(report: Report, finding: Optional[Finding]) -> List[Tuple[str, str]]:
    core = shlex.quote(report.dump.path)
    found = [(f"dumpwalk analyze --full {core}", "the proof, what was and was not looked at, the threads")]
    if finding is not None:
        found.append((f"dumpwalk explain {finding.kind}", "what it means, what it does not prove, what to do"))
    elif report.threads:
        found.append((f"dumpwalk threads {core}", "every stack in full"))
    return found
