"""The report as text: the answer in plain words, the proof, who waits, the rest, coverage, the verdict line last.

Everything is read from the model; nothing is decided here. `color` and `width` are the caller's business (a terminal,
the NO_COLOR convention); the same report, width and colour give the same text. What stands between headline and verdict
line are parts of sections, in the order of their ranks.
"""

from __future__ import annotations

from typing import Any, Optional, Pattern, Union

from dumpwalk.report import text_next
from dumpwalk.report.escape import clean
from dumpwalk.report.headline import after_word, headline
from dumpwalk.report.managed_stacks import only_managed
from dumpwalk.report.model import Report
from dumpwalk.report.names import INFERRED_MARK
from dumpwalk.report.section import in_full, text_parts
from dumpwalk.report.sections.findings.phrases import main_finding
from dumpwalk.report.text_page import INDENT, STATUS_COLOUR, Page, wrap

DEFAULT_WIDTH = 100
NEXT_RANK = 40
"""Behind the parts up to this one stands what to do next, where no hang is shown."""
LEGEND = "marks a name inferred from the code, where there is no symbol"


def render(report: Report, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """The whole report. Ends with the verdict line and a newline."""
    report = clean(report)
    page = Page(width, color)
    finding = main_finding(report)
    _headline(page, report)
    told = report.verdict.status == "hang"
    for part in text_parts():
        if part.write is None:
            continue
        if not told and part.rank > NEXT_RANK:
            text_next.what_next(page, report, finding)
            told = True
        part.write(page, report, finding)
    return _finish(page, report)


def render_short(report: Report, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """The answer without its proof: headline, finding, who holds and waits, graph, what to do next, verdict line."""
    report = clean(report)
    page = Page(width, color)
    finding = main_finding(report)
    _headline(page, report)
    for part in text_parts():
        if part.short is not None:
            part.short(page, report, finding)
    text_next.what_next(page, report, finding, short=True)
    return _finish(page, report)


def render_section(key: str, report: Report, width: int = DEFAULT_WIDTH, color: bool = False, **chosen: Any) -> str:
    """One section in full, by its JSON key; `chosen` is what its own text can be asked for. Raises KeyError for a section that
    has no such text."""
    report = clean(report)
    page = Page(width, color)
    in_full(key)(page, report, **chosen)
    return _finish(page, report)


def render_threads(
    report: Report,
    width: int = DEFAULT_WIDTH,
    color: bool = False,
    grep: Union[str, Pattern[str], None] = None,
    waiting_on: Optional[str] = None,
    managed: bool = False,
) -> str:
    """Every stack in full, equal ones once. `grep` searches functions, modules and names; a bad one raises re.error.

    With `managed` the managed frames alone, and no thread that has none.
    """
    report = only_managed(report) if managed else report
    return render_section("threads", report, width, color, grep=grep, waiting_on=waiting_on)


def _finish(page: Page, report: Report) -> str:
    if page.inferred:
        page.blank()
        page.say(f"{INFERRED_MARK} {LEGEND}")
    words = page.reader.left("\n".join(page.lines))  # in a drawing or a table alone
    if words:
        page.heading("Words")
        columns = min(max(len(word) for word, _ in words), 16)
        for word, what in words:
            page.labelled(word, what, columns + 2)
    return page.finish(report.verdict.line)


def _headline(page: Page, report: Report) -> None:
    word, text, crash = headline(report)
    lines = wrap(page.reader.prose(page.name(after_word(text))), page.prose_width, word + "  ", INDENT)
    colour = "magenta" if crash else STATUS_COLOUR.get(report.verdict.status)
    lines[0] = page.style(word, fg=colour, bold=True) + lines[0][len(word) :]
    for line in lines:
        page.raw(line)
    if report.verdict.known:
        page.say(page.name(report.verdict.known))
    if report.runtime is not None and report.runtime.other_build:
        page.blank()
        page.say(report.runtime.other_build, f"{INDENT}Wrong runtime: ", INDENT)
