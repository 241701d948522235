"""Coverage in text: as plainly as the findings."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.model import Finding, Report
from dumpwalk.report.section import TextPart
from dumpwalk.report.text_page import INDENT, Page, pad, wrap

COVERAGE_COLOUR = {"complete": "green", "partial": "yellow", "none": "red"}


def coverage(page: Page, report: Report, finding: Optional[Finding]) -> None:
    """How far each claim reaches: as plainly as the findings."""
    if not report.coverage:
        return
    page.heading("Coverage")
    areas = max(len(line.area) for line in report.coverage[:40])
    areas = min(areas, 24)
    for line in report.coverage:
        label = line.area if len(line.area) <= areas else line.area[: areas - 3] + "..."
        said = "not covered" if line.status == "none" else line.status
        head = f"{INDENT}{pad(label, areas)}  "
        text = f"{said:<11}  "
        used = len(head) + len(text)
        first, *more = wrap(page.reader.prose(line.why), max(page.prose_width - used, 20))
        status = page.style(text if first else text.rstrip(), fg=COVERAGE_COLOUR.get(line.status))
        page.raw(head + status + first)
        for part in more:
            page.raw(" " * used + part)


TEXT = (TextPart(rank=95, write=coverage),)
