"""What to do next, in text: the commands for this dump, each in one piece."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.model import Finding, Report
from dumpwalk.report.next_steps import lacking, steps
from dumpwalk.report.text_page import INDENT, Page


def what_next(page: Page, report: Report, finding: Optional[Finding], short: bool = False) -> None:
    page.heading("What next")
    for entry in lacking(report) if short else ():
        said = "not covered" if entry.status == "none" else "covered in part"
        page.say(f"{entry.area.replace('-', ' ')}, {said}: {entry.why}", INDENT + "- ", INDENT * 2)
    for step in steps(report, finding, short):
        page.raw(INDENT + step.command)
        page.say(step.what, INDENT * 3, INDENT * 3)
