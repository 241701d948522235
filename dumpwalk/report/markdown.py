"""The report for a GitHub comment: never more bytes than asked for, and nothing in it that a name of the dump could do.

GitHub refuses a body of more than 65,536 characters (262,144 bytes by a later measurement), so 60,000 bytes are safe
by either reading. A report that would be larger leaves whole parts out, those of the lowest worth first, and says which.
Headline and verdict line come before all parts and always stay.
"""

from __future__ import annotations

from typing import List, Sequence

from dumpwalk.report.escape import clean
from dumpwalk.report.glossary import Reader
from dumpwalk.report.headline import after_word, headline
from dumpwalk.report.markdown_escape import code, fence, prose
from dumpwalk.report.model import Report
from dumpwalk.report.section import markdown_parts
from dumpwalk.report.sections.findings.phrases import main_finding

MAX_BYTES = 60_000


def render(report: Report, max_bytes: int = MAX_BYTES) -> str:
    """At most `max_bytes` UTF-8 bytes; the verdict line stays whatever the budget."""
    report = clean(report)
    line = report.verdict.line
    finding = main_finding(report)
    written = [(part, part.write(report, finding)) for part in markdown_parts()]
    parts = [(part, text) for part, text in written if text]
    title = f"## {_title(report)}"
    known = f"\n\n{prose(report.verdict.known)}" if report.verdict.known else ""
    if report.runtime is not None and report.runtime.other_build:
        known += f"\n\n**Wrong runtime:** {prose(report.runtime.other_build)}"
    head = f"{title}\n\n{fence(line)}{known}"
    dropped: List[str] = []
    for least in (None, *sorted((part for part, _ in parts), key=lambda part: part.worth)):
        if least is not None:
            parts = [(part, text) for part, text in parts if part is not least]
            dropped.append(least.name)
        text = _assemble(head, [text for _, text in parts], dropped, max_bytes)
        if _size(text) <= max_bytes:
            return text
    note = f"_Left out to stay within {max_bytes:,} bytes: all else._\n"
    for smallest in (f"{head}\n\n{note}", f"{fence(line)}\n\n{note}", f"{code(line)}\n\n{note}"):
        if _size(smallest) <= max_bytes:
            return smallest
    return f"{code(line)}\n"


def dropped_first() -> List[str]:
    """Names of the parts in the order in which they are left out."""
    return [part.name for part in sorted(markdown_parts(), key=lambda part: part.worth)]


def _title(report: Report) -> str:
    word, text, no_hang = headline(report)
    if no_hang:
        return prose(f"{word}, {text}")
    rest = after_word(text)
    return f"{prose(word)} {prose(rest)}" if rest != text else f"{prose(word)}: {prose(text)}"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _assemble(head: str, parts: Sequence[str], dropped: Sequence[str], max_bytes: int) -> str:
    note = []
    if dropped:
        names = ", ".join(dropped)
        note.append(f"_Left out to stay within {max_bytes:,} bytes: {names}. The text and JSON reports have them._")
    return Reader().markdown("\n\n".join([head, *parts, *note]) + "\n")
