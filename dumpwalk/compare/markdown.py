"""A comparison as GitHub Markdown."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from dumpwalk.compare import rows
from dumpwalk.compare.model import Comparison
from dumpwalk.report.glossary import Reader
from dumpwalk.report.markdown_escape import code, prose


def render(comparison: Comparison) -> str:
    """Ends with a line break."""
    verdict = comparison.verdict
    out = [f"**{rows.HEADLINE[verdict.status]}** {prose(verdict.headline)}", ""]
    for group in comparison.groups:
        out += [f"**{rows.HEADLINE[group.status].capitalize()}:** {prose(group.title)}", ""]
        out += [f"- {prose(fact)}" for fact in group.facts] + [""]
    out += _table(("lock", "", "what"), [(code(m.label), m.motion, prose(m.what)) for m in rows.lock_rows(comparison)])
    threads = [(prose(which), motion, prose(what)) for which, motion, what in rows.thread_rows(comparison)]
    out += ["<details><summary>Threads</summary>", "", *_table(("threads", "", "what"), threads), "</details>", ""]
    counters = [(code(c.name), str(c.before), str(c.after)) for c in rows.counters(comparison)]
    out += _table(("counter", "first look", "second look"), counters)
    out += [f"- {name}: {code(path)}, {prose(when)}" for name, path, when in rows.taken(comparison)]
    out += [f"- {prose(sentence)}" for sentence in comparison.not_established]
    out += ["", code(verdict.line)]
    return Reader().markdown("\n".join(out) + "\n")


def _table(head: Tuple[str, ...], body: Sequence[Tuple[str, ...]]) -> List[str]:
    if not body:
        return []
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in body), ""]
