"""The comment that a bot posts once for a signature and updates from then on."""

from __future__ import annotations

import json
from dataclasses import replace

from dumpwalk.report import markdown
from dumpwalk.report.json_format import from_dict
from dumpwalk.report.markdown_escape import prose
from dumpwalk.report.model import Report
from dumpwalk.triage.store import Seen, Store
from dumpwalk.triage.views import hits, known_sentence


def mark(one: Seen) -> str:
    """The comment's first line, by which it is found again: the same as docs/examples/comment-once.sh looks for."""
    return f"<!-- dumpwalk signature {one.key} -->"


def text(store: Store, one: Seen, max_bytes: int) -> str:
    """Mark, what is known, hit counts, where it was seen, the newest report; at most `max_bytes` of UTF-8."""
    about = store.runtimes([one.key]).get(one.key, {})
    head = [
        mark(one),
        "",
        prose(known_sentence(replace(one, issue=None))) + (f" [The issue]({one.issue})." if one.issue else ""),
        "",
        hits(one, "markdown"),
        "",
    ]
    if about.get("runtimes"):
        head += [f"Seen on {prose(', '.join(about['runtimes']))}; {prose(', '.join(about['systems']))}.", ""]
    start = "\n".join(head)
    kept = store.newest_report(one.key)
    if kept is None:
        return start.rstrip()
    report = from_dict(json.loads(kept))
    room = max_bytes - len(start.encode("utf-8")) - 1
    if not isinstance(report, Report) or room < 200:
        return start.rstrip()
    return start + "\n" + markdown.render(report, room)
