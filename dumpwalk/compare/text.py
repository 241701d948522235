"""A comparison as text."""

from __future__ import annotations

from dumpwalk.compare import rows
from dumpwalk.compare.model import Comparison
from dumpwalk.report.text_page import INDENT, Page

_COLOUR = {"stuck": "red", "moving": "green", "unknown": "cyan"}


def render(comparison: Comparison, width: int, color: bool) -> str:
    """Without a line break at its end; the verdict line is the last."""
    page = Page(width, color)
    verdict = comparison.verdict
    page.say(
        verdict.headline, page.style(rows.HEADLINE[verdict.status], fg=_COLOUR[verdict.status], bold=True) + "  ", ""
    )
    for group in comparison.groups:
        page.heading(f"{rows.HEADLINE[group.status].capitalize()}: {group.title}")
        for fact in group.facts:
            page.say(fact, f"{INDENT}- ", INDENT * 2)
    locks = rows.lock_rows(comparison)
    if locks:
        page.heading("Locks")
        for lock in locks:
            page.say(f"{lock.label}: {lock.what}", f"{INDENT}{lock.motion:<9} ", INDENT + " " * 10)
    page.heading("Threads")
    for which, motion, what in rows.thread_rows(comparison):
        page.say(f"{which} {motion}: {page.name(what)}", INDENT, INDENT * 2)
    counters = rows.counters(comparison)
    if counters:
        page.heading("Counters")
        for counter in counters:
            ran = (
                f"{counter.before} -> {counter.after}"
                if counter.before != counter.after
                else f"{counter.after}, unchanged"
            )
            page.say(f"{counter.name} at {counter.address}: {ran}")
    page.heading("Looks")
    for name, path, when in rows.taken(comparison):
        page.say(f"{name}: {path}, taken {when}")
    page.heading("What this does not establish")
    for sentence in comparison.not_established:
        page.say(sentence, f"{INDENT}- ", INDENT * 2)
    page.blank()
    page.raw(verdict.line)
    return "\n".join(page.lines)
