"""Awaiting methods as text: the chains that threads block on, then the others, the most frequent first."""

from __future__ import annotations

from typing import Optional, Sequence

from dumpwalk.report.model import Finding, Report
from dumpwalk.report.names import plural, ranges
from dumpwalk.report.section import TextPart
from dumpwalk.report.sections.async_.model import Async, AsyncChain
from dumpwalk.report.sections.async_.phrases import ending, summary
from dumpwalk.report.text_page import INDENT, Page

SHOWN = 6
"""Chains of the whole report's part; `dumpwalk async` shows all."""
DEEPEST = 12
"""Steps that are indented further than the one before."""


def in_full(page: Page, report: Report) -> None:
    value = report.of(Async)
    if value is None:
        cover = next((c for c in report.coverage if c.area == "async"), None)
        page.say(f"No awaiting methods were read: {cover.why if cover else 'the process has no .NET runtime'}.", "")
        return
    page.raw(page.style("Awaiting methods", bold=True))
    alone = f"; no method awaits {value.alone:,} of them" if value.alone else ""
    page.say(f"{summary(value)}. {plural(value.tasks, 'task is', 'tasks are')} not completed{alone}.")
    _chains(page, value.chains)
    if not value.chains:
        page.say("none")


def _chains(page: Page, chains: Sequence[AsyncChain]) -> None:
    for chain in chains:
        page.blank()
        page.say(page.name(_head(chain)), INDENT, INDENT * 2)
        for depth, step in enumerate(chain.steps):
            page.say(page.name(step.label), INDENT * (2 + min(depth, DEEPEST)), INDENT * (4 + min(depth, DEEPEST)))
        depth = min(len(chain.steps), DEEPEST)
        page.say(page.name(ending(chain)), INDENT * (2 + depth), INDENT * (4 + depth))


def _head(chain: AsyncChain) -> str:
    if not chain.threads:
        return f"{chain.count:,} of"
    who = f"thread{'' if len(chain.threads) == 1 else 's'} {ranges(chain.threads)}"
    text = f"{who} block{'s' if len(chain.threads) == 1 else ''} on"
    if chain.count > len(chain.threads):
        text += f", {chain.count:,} times"
    if chain.stuck and chain.end.nobody:
        text += " [stuck]"
    return text + (" (gives up by itself)" if chain.timed else "")


def in_short(page: Page, report: Report, finding: Optional[Finding]) -> None:
    value = report.of(Async)
    if value is None or not value.chains:
        return
    page.heading("Awaiting methods", "`dumpwalk async CORE`: every chain" if len(value.chains) > SHOWN else "")
    page.say(summary(value))
    for chain in value.chains[:SHOWN]:
        way = " -> ".join(step.label for step in chain.steps)
        page.say(page.name(f"{_head(chain)} {way}"), INDENT, INDENT * 2)
        page.say(page.name(ending(chain)), INDENT * 2, INDENT * 3)
    if len(value.chains) > SHOWN:
        page.say(f"{len(value.chains) - SHOWN:,} more kinds of chains")


TEXT = (TextPart(rank=55, write=in_short),)
IN_FULL = in_full
