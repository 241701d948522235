"""Several cores in one report: a table of verdicts first, by severity, then one full report for each signature; a core that
failed has its row too."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Sequence, Tuple

from dumpwalk.report import markdown, several, text
from dumpwalk.report.escape import clean
from dumpwalk.report.glossary import Reader
from dumpwalk.report.markdown_escape import code, prose, table
from dumpwalk.report.model import FailedCore, Report
from dumpwalk.report.names import count, plural
from dumpwalk.report.several import Entry, Told
from dumpwalk.report.text_page import Page, shorten

TABLE_ROWS = 200
LEAST_BYTES = 1_500
"""Of a report in Markdown: where not all get that much, the first ones do and the others are left out."""
NOTE_BYTES = 80
"""Kept for the line that says how many reports were left out."""
NAMED = 20
"""Cores that are named of those that show the same as another."""


def _row(entry: Entry) -> Tuple[str, str, str, str]:
    """(path, verdict, signature, threads)."""
    if isinstance(entry, FailedCore):
        return (entry.path, "not analysed", "-", "-")
    verdict = entry.verdict
    return (entry.dump.path, f"{verdict.status} {verdict.kind}", verdict.signature or "-", count(len(entry.threads)))


def signatures(entries: Sequence[Entry]) -> List[Tuple[str, str, int]]:
    """(signature, verdict sentence, cores), the most frequent first; cores without a signature are left out."""
    counts: Dict[Tuple[str, str], int] = {}
    for entry in entries:
        if isinstance(entry, Report) and entry.verdict.signature:
            key = (entry.verdict.signature, entry.verdict.sentence)
            counts[key] = counts.get(key, 0) + 1
    rows = [(signature, sentence, number) for (signature, sentence), number in counts.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def overview(entries: Sequence[Entry]) -> str:
    """`3 cores: 2 hang, 1 not analysed`."""
    counts: Dict[str, int] = {}
    for entry in entries:
        status = several.status_of(entry)
        counts[status] = counts.get(status, 0) + 1
    order = ["hang", "suspicious", "inconclusive", "none", "not analysed"]
    known = sorted(counts, key=lambda s: order.index(s) if s in order else len(order))
    said = ", ".join(f"{counts[s]:,} {'nothing stuck' if s == 'none' else s}" for s in known)
    return f"{plural(len(entries), 'core')}: {said}"


def render_text(entries: Sequence[Entry], width: int = text.DEFAULT_WIDTH, color: bool = False,
                part: Callable[[Report, int, bool], str] = text.render) -> str:  # fmt: skip
    """The table, then one section for each signature. `part` renders one report; verdict lines end each section, one for each
    core, with its name in front."""
    entries = several.by_severity([clean(entry) for entry in entries])
    names = several.names(entries)
    page = Page(width, color)
    page.raw(page.style(overview(entries), bold=True))
    page.blank()
    rows = [list(_row(entry)) for entry in entries]
    fixed = max(len(row[1]) + len(row[2]) + len(row[3]) for row in rows) + 8
    for row in rows:
        row[0] = shorten(row[0], max(page.width - fixed, 20))
    headers = ["core", "verdict", "signature", "threads"]
    from tabulate import tabulate  # 25 ms, which one core alone does not need

    drawn = tabulate(rows, headers, tablefmt="simple", disable_numparse=True)
    for line in drawn.splitlines():
        page.raw("  " + line if len(line) + 2 <= page.width else line)
    told = signatures(entries)
    if told:
        page.heading("Signatures")
        for signature, sentence, number in told:
            page.say(f"{plural(number, 'core')}: {sentence}", f"  {signature}  ")
    out = [page.finish(None)]
    for told_one in several.told(entries):
        entry = told_one.entry
        title = several.path_of(entry)
        out.append(f"\n{'=' * min(page.width, 100)}\n{page.style(title, bold=True)}\n\n")
        if isinstance(entry, FailedCore):
            failed = Page(width, color)
            failed.say(f"Not analysed: {entry.error}", "")
            out.append(failed.finish(None))
        else:
            out.append(part(several.with_name(entry, names[title]), width, color))
            out += [several.with_name(r, names[r.dump.path]).verdict.line + "\n" for r in told_one.like]
    return "".join(out)


def render_markdown(entries: Sequence[Entry], max_bytes: int = markdown.MAX_BYTES) -> str:
    """The table, then as much of one report for each signature as the rest of the budget allows, hangs first; never more than
    `max_bytes`."""
    entries = several.by_severity([clean(entry) for entry in entries])
    names = several.names(entries)
    head = _markdown_head(entries, TABLE_ROWS)
    rows = TABLE_ROWS
    while len(head.encode()) > max_bytes and rows:
        rows = min(rows, len(entries)) // 2
        head = _markdown_head(entries, rows)
    if len(head.encode()) > max_bytes:
        head = f"## {overview(entries)}\n"
    left = max_bytes - len(head.encode()) - NOTE_BYTES
    out = [head]
    told = several.told(entries)
    reports = [(t, t.entry) for t in told if isinstance(t.entry, Report)]
    statuses = [report.verdict.status for _, report in reports]
    for number, (told_one, report) in enumerate(reports):
        alike = statuses[number:].count(statuses[number])  # those of the next severity get what these leave
        share = max(left // alike, min(left, LEAST_BYTES))
        path = report.dump.path
        title = f"\n---\n\n**Core** {code(path)}\n\n" + "".join(_same(told_one))
        section = title + markdown.render(several.with_name(report, names[path]), share - len(title.encode()))
        size = len(section.encode("utf-8", "replace"))
        if size <= share:
            out.append(section)
            left -= size
    if len(out) - 1 < len(reports):
        note = f"\n_{plural(len(reports) - len(out) + 1, 'report')} left out to stay within {max_bytes:,} bytes._\n"
        if len(note.encode()) <= left + NOTE_BYTES:
            out.append(note)
    return "".join(out)


def _same(told: Told) -> Iterator[str]:
    if told.like:
        named = ", ".join(code(report.dump.path) for report in told.like[:NAMED])
        more = f" and {len(told.like) - NAMED:,} more" if len(told.like) > NAMED else ""
        yield f"{plural(len(told.like), 'more core')} show{'s' if len(told.like) == 1 else ''} the same: {named}{more}\n\n"


def _markdown_head(entries: Sequence[Entry], rows: int) -> str:
    cells = []
    for entry in entries[:rows]:
        path, verdict, signature, threads = _row(entry)
        reason = f": {prose(entry.error)}" if isinstance(entry, FailedCore) else ""
        cells.append((code(path), prose(verdict) + reason, code(signature) if signature != "-" else "-", threads))
    out = f"## {overview(entries)}\n"
    if cells:
        out += "\n" + table(("core", "verdict", "signature", "threads"), cells) + "\n"
    if len(entries) > rows:
        out += f"\n{plural(len(entries) - rows, 'core')} more, not listed.\n"
    told = signatures(entries)[:TABLE_ROWS] if rows else []
    if told:
        listed = [(code(signature), str(number), prose(sentence)) for signature, sentence, number in told]
        out += "\n" + table(("signature", "cores", "what"), listed) + "\n"
    return Reader().markdown(out)
