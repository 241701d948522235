"""The report for a GitHub comment: never more bytes than asked for, and nothing in it that a name of the dump could do.

GitHub refuses a body of more than 65,536 characters (262,144 bytes by a later measurement), so 60,000 bytes are safe
by either reading. A report that would be larger leaves whole sections out, in the order of `DROPPED_FIRST`, and says
which.
"""

from __future__ import annotations

from typing import List, Sequence, Tuple

from dumpwalk.report import markdown_sections as sections
from dumpwalk.report.escape import clean
from dumpwalk.report.markdown_escape import code, fence, prose
from dumpwalk.report.model import Report
from dumpwalk.report.text import CRASH, STATUS_WORDS
from dumpwalk.report.text_finding import main_finding

MAX_BYTES = 60_000

LAYOUT: Tuple[Tuple[str, sections.Section], ...] = (
    ("summary", sections.answer),
    ("proof", sections.proof),
    ("chain", sections.chain),
    ("locks", sections.locks),
    ("waiters", sections.waiters),
    ("wait graph", sections.graph_drawn),
    ("wait graph as text", sections.graph_text),
    ("the rest of the cache", sections.cache),
    ("open questions", sections.open_ends),
    ("lldb commands", sections.repro),
    ("other findings", sections.others),
    ("stacks of the threads involved", sections.stacks_involved),
    ("stacks of the other threads", sections.stacks_other),
    ("modules", sections.modules),
    ("coverage", sections.coverage),
    ("versions", sections.versions),
)
"""Sections in the order of the report. The heading and the verdict line come before all of them and always stay."""

DROPPED_FIRST = (
    "stacks of the other threads",
    "modules",
    "stacks of the threads involved",
    "the rest of the cache",
    "wait graph",
    "wait graph as text",
    "chain",
    "other findings",
    "waiters",
    "versions",
    "lldb commands",
    "locks",
    "open questions",
    "coverage",
    "proof",
    "summary",
)


def render(report: Report, max_bytes: int = MAX_BYTES) -> str:
    """At most `max_bytes` UTF-8 bytes; the verdict line stays whatever the budget."""
    report = clean(report)
    line = report.verdict.line
    finding = main_finding(report)
    parts = [(name, build(report, finding)) for name, build in LAYOUT]
    parts = [(name, text) for name, text in parts if text]
    status = report.verdict.status
    headline = report.verdict.headline
    word = "" if headline.startswith(CRASH) else f"{STATUS_WORDS.get(status, prose(status.upper()))}: "
    title = f"## {word}{prose(headline)}"
    known = f"\n\n{prose(report.verdict.known)}" if report.verdict.known else ""
    head = f"{title}\n\n{fence(line)}{known}"
    dropped: List[str] = []
    for name in ("", *DROPPED_FIRST):
        if name:
            if all(name != there for there, _ in parts):
                continue
            parts = [(there, text) for there, text in parts if there != name]
            dropped.append(name)
        text = _assemble(head, [text for _, text in parts], dropped, max_bytes)
        if _size(text) <= max_bytes:
            return text
    for smallest in (f"{head}\n", f"{fence(line)}\n"):
        if _size(smallest) <= max_bytes:
            return smallest
    return f"{code(line)}\n"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _assemble(head: str, parts: Sequence[str], dropped: Sequence[str], max_bytes: int) -> str:
    note = []
    if dropped:
        names = ", ".join(dropped)
        note.append(f"_Left out to stay within {max_bytes:,} bytes: {names}. The text and JSON reports have them._")
    return "\n\n".join([head, *parts, *note]) + "\n"
