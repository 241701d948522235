"""The report as text: the answer in plain words, the proof, who waits, the rest, coverage, the verdict line last.

Everything is read from the model; nothing is decided here. `color` and `width` are the caller's business (a terminal,
the NO_COLOR convention); the same report, width and colour give the same text.
"""

from __future__ import annotations

from typing import List, Optional, Pattern, Sequence, Union

from dumpwalk.report import (
    graph_tree,
    text_cache,
    text_facts,
    text_finding,
    text_locks,
    text_next,
    text_threads,
)
from dumpwalk.report.escape import clean
from dumpwalk.report.managed_stacks import only_managed
from dumpwalk.report.model import Finding, Report
from dumpwalk.report.names import plural
from dumpwalk.report.section import in_full
from dumpwalk.report.text_page import GRADE_COLOUR, INDENT, STATUS_COLOUR, Page, pad, wrap

DEFAULT_WIDTH = 100
STATUS_WORDS = {
    "hang": "HANG",
    "suspicious": "SUSPICIOUS",
    "inconclusive": "INCONCLUSIVE",
    "none": "NOTHING STUCK",
}
CRASH = "CRASH, "
"""How the headline of a dump begins that a crash made and that shows no hang."""
LEGEND = "~ marks a name inferred from the code, where there is no symbol"
GRAPH_LINES = 40


def render(report: Report, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """The whole report. Ends with the verdict line and a newline."""
    report = clean(report)
    line = report.verdict.line
    page = Page(width, color)
    finding = text_finding.main_finding(report)
    _headline(page, report)
    _answer(page, report, finding)
    if finding:
        text_finding.proof(page, report, finding)
    text_locks.who_waits(page, report, finding)
    _graph(page, report, GRAPH_LINES)
    text_cache.rest_of_cache(page, report, finding)
    if finding:
        text_finding.open_ends(page, finding)
        text_finding.repro(page, finding)
    _others(page, report, finding)
    text_threads.groups(page, report, finding)
    text_facts.facts(page, report)
    text_facts.coverage(page, report)
    return _finish(page, line)


SHORT_GRAPH_LINES = 12


def render_short(report: Report, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """The answer without its proof: headline, finding, who holds and waits, graph, what to do next, verdict line."""
    report = clean(report)
    line = report.verdict.line
    page = Page(width, color)
    finding = text_finding.main_finding(report)
    _headline(page, report)
    _answer(page, report, finding)
    text_locks.who_waits(page, report, finding)
    _graph(page, report, SHORT_GRAPH_LINES)
    text_next.what_next(page, report, finding)
    return _finish(page, line)


def _finish(page: Page, line: str) -> str:
    if page.inferred:
        page.blank()
        for text in wrap(LEGEND, page.width):
            page.raw(page.style(text, dim=True))
    return page.finish(line)


def _headline(page: Page, report: Report) -> None:
    status = report.verdict.status
    crash = report.verdict.headline.startswith(CRASH)
    word = CRASH.rstrip(", ") if crash else STATUS_WORDS.get(status, status.upper())
    lines = _wrap_headline(page, report, word)
    lines[0] = page.style(word, fg="magenta" if crash else STATUS_COLOUR.get(status), bold=True) + lines[0][len(word) :]
    for text in lines:
        page.raw(text)


def _wrap_headline(page: Page, report: Report, word: str) -> List[str]:
    headline = report.verdict.headline or report.verdict.sentence
    if headline.startswith(CRASH):
        headline = headline[len(CRASH) :]
    return wrap(page.name(headline), page.prose_width, word + "  ", INDENT)


def _answer(page: Page, report: Report, finding: Optional[Finding]) -> None:
    if report.verdict.known:
        page.say(page.name(report.verdict.known))
    crash = text_finding.crash_words(report)
    if crash:
        page.blank()
        page.say(page.name(crash), f"{INDENT}Crash: ", INDENT)
    if finding and finding.summary:
        page.blank()
        for sentence in finding.summary:
            page.say(page.name(sentence))


def _graph(page: Page, report: Report, most: int, title: str = "Wait graph") -> None:
    lines = graph_tree.tree(report.wait_graph)
    if not lines:
        return
    page.heading(title, "each line waits for the one it hangs from")
    shown = lines[:most]
    room = page.width - 16
    columns = min(max(len(line.branch) + len(line.text) for line in shown), room)
    for line in shown:
        text = page.name(line.branch + line.text)
        if len(text) > room:
            page.say(line.text + (f", {line.grade}" if line.grade else ""), INDENT + line.branch)
        else:
            grade = page.style(line.grade, fg=GRADE_COLOUR.get(line.grade))
            page.raw(INDENT + pad(text, columns + 2) + grade)
    if len(lines) > most:
        page.say(f"{plural(len(lines) - most, 'line')} more: `dumpwalk graph CORE`")


def _others(page: Page, report: Report, finding: Optional[Finding]) -> None:
    rest = text_finding.other_findings(report, finding)
    if not rest:
        return
    page.heading("Also found" if finding else "Notes")
    for other in rest:
        text_finding.other(page, other)


# --- one part of the report, more deeply


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
    report = clean(only_managed(report) if managed else report)
    line = report.verdict.line
    page = Page(width, color)
    chosen = text_threads.select(report, grep, waiting_on)
    if waiting_on and not text_threads.find_locks(report, waiting_on):
        names = "; ".join(f"{lock.address} {lock.name or ''}".strip() for lock in report.locks[:20])
        page.say(f"No lock of this dump is called {waiting_on!r}. Known: {names or 'none'}.", "")
    limited = grep is not None or waiting_on is not None
    of_all = f" of {len(report.threads):,}" if limited else ""
    page.raw(page.style(f"{plural(len(chosen), 'thread')}{of_all}", bold=True))
    text_threads.stacks(page, report, chosen)
    return _finish(page, line)


def render_locks(report: Report, width: int = DEFAULT_WIDTH, color: bool = False, held_by: Sequence[int] = ()) -> str:
    """Every lock that was found: state, memory words, owner, all waiters. With `held_by` those that these threads hold."""
    report = clean(report)
    line = report.verdict.line
    page = Page(width, color)
    threads = text_locks.by_index(report.threads)
    locks = text_locks.ordered(report, text_finding.main_finding(report))
    if held_by:
        text_locks.held_by_threads(page, report, held_by)
        return _finish(page, line)
    page.raw(page.style(plural(len(locks), "lock"), bold=True))
    if not locks:
        page.say("No thread was found waiting for a lock, and no lock of the runtime was looked at.")
    for lock in locks:
        page.blank()
        text_locks.lock_tree(page, lock, threads, most_groups=1_000, deep=True)
    return _finish(page, line)


def render_cache(report: Report, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """The dispatch cache: where it is, each circular chain node by node, every violation."""
    report = clean(report)
    line = report.verdict.line
    page = Page(width, color)
    text_cache.cache_in_full(page, report)
    return _finish(page, line)


def render_section(key: str, report: Report, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """One section in full, by its JSON key. Raises KeyError for one that has no such text."""
    report = clean(report)
    line = report.verdict.line
    page = Page(width, color)
    in_full(key)(page, report)
    return _finish(page, line)


def render_graph_text(report: Report, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """The wait-for graph as a tree, from what blocks to who is blocked."""
    report = clean(report)
    line = report.verdict.line
    page = Page(width, color)
    _graph(page, report, most=100_000)
    if not page.lines:
        page.say("Nothing was found waiting for anything that another thread holds.", "")
    return _finish(page, line)
