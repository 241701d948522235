"""The wait-for graph as a tree, from what blocks to who is blocked."""

from __future__ import annotations

from typing import Sequence

from dumpwalk.report.model import Report
from dumpwalk.report.names import plural
from dumpwalk.report.section import TextPart
from dumpwalk.report.sections.wait_graph.tree import Line, tree
from dumpwalk.report.text_page import GRADE_COLOUR, INDENT, Page, pad

LINES, SHORT_LINES = 40, 12
"""In the report, and in the answer without its proof."""


def graph(page: Page, report: Report, most: int) -> None:
    lines = tree(report.wait_graph)
    if not lines:
        return
    shown = lines[: _whole(lines, most)]
    hangs = any(line.branch.endswith("- ") for line in shown)
    page.heading("Wait graph", "each line waits for the one it hangs from" if hangs else "")
    room = page.width - len(INDENT) - 2 - max(len(line.grade) for line in shown)
    columns = min(max(len(line.branch) + len(line.text) for line in shown), room)
    for line in shown:
        text = page.name(line.branch + line.text)
        if len(text) > room:
            page.say(line.text + (f", {line.grade}" if line.grade else ""), INDENT + line.branch)
        else:
            grade = page.style(line.grade, fg=GRADE_COLOUR.get(line.grade))
            page.raw(INDENT + pad(text, columns + 2) + grade)
    if len(lines) > len(shown):
        page.say(f"{plural(len(lines) - len(shown), 'more line')}: `dumpwalk graph CORE`")


def _whole(lines: Sequence[Line], most: int) -> int:
    """At most that many lines, and no circle or tree in part unless it is the first."""
    if len(lines) <= most:
        return len(lines)
    return next((at for at in range(most, 0, -1) if not lines[at].branch), most)


def in_full(page: Page, report: Report) -> None:
    graph(page, report, most=100_000)
    if not page.lines:
        page.say("Nothing was found waiting for anything that another thread holds.", "")


TEXT = (
    TextPart(
        rank=40,
        write=lambda page, report, finding: graph(page, report, LINES),
        short=lambda page, report, finding: graph(page, report, SHORT_LINES),
    ),
)
IN_FULL = in_full
