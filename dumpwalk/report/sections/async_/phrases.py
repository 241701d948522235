"""Words of chains that text, Markdown and the page share."""

from __future__ import annotations

from dumpwalk.report.names import plural
from dumpwalk.report.sections.async_.model import Async, AsyncChain

_SAID = ("running", "posted", "queued", "over", "custom", "unread", "limit", "cycle")


def ending(chain: AsyncChain) -> str:
    """`waits for a timer of 1 h`; what leads to an end that somebody has to complete."""
    end = chain.end
    text = f"{'ends at' if end.kind in _SAID else 'waits for'} {end.what}"
    if chain.garbage:
        text += ", which nothing leads to, nor to the chain: garbage that a collection will take"
    elif end.nobody and end.kind != "cycle":
        text += ", which nothing leads to but the methods that wait for it"
        if chain.kept_by:
            text += f"; {chain.kept_by[0]} leads to the chain"
    elif end.held_by:
        text += f"; {' and '.join(end.held_by[:2])} {'leads' if len(end.held_by) == 1 else 'lead'} to it"
    return text


def summary(value: Async) -> str:
    """`49 chains of awaiting methods; threads block on 10 kinds of them`."""
    blocked = [chain for chain in value.chains if chain.threads]
    text = plural(value.total, "chain of awaiting methods", "chains of awaiting methods")
    if not blocked:
        return text
    who = "a thread blocks" if sum(len(chain.threads) for chain in blocked) == 1 else "threads block"
    if sum(chain.count for chain in blocked) >= value.total:
        return f"{text}; {who} on {'it' if value.total == 1 else 'each of them'}"
    return f"{text}; {who} on {plural(len(blocked), 'kind')} of them"
