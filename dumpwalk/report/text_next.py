"""What to do next, in text: the commands for this dump, each in one piece."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.model import Finding, Report
from dumpwalk.report.next_steps import lacking, steps
from dumpwalk.report.text_page import INDENT, Page


def what_next(page: Page, report: Report, finding: Optional[Finding], short: bool = False) -> None:
    page.heading("What next")
    for step in steps(report, finding, short):
        page.raw(INDENT + step.command)
        page.say(step.what, INDENT * 3, INDENT * 3)
    open_ones = lacking(report) if short else ()
    if open_ones:
        page.heading("What was not covered")
    for entry in open_ones:
        said = "" if entry.status == "none" else ", in part"
        page.say(f"{entry.area.replace('-', ' ')}{said}: {entry.why}", INDENT + "- ", INDENT * 2)
