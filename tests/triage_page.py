"""A page of `triage list -f html` with five signatures in different states, for tests that look at it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from dumpwalk.report.json_format import to_dict
from dumpwalk.triage import page, store
from dumpwalk.triage.record import record_of
from tests.report_samples import hang_self

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
KINDS = (
    ("4fd21060", "hang", "dispatch-cache-cycle", "a thread walks a cyclic bucket chain", (0.5, 0.6, 3, 3.1, 3.2, 20)),
    ("5800e545", "hang", "lock-cycle", "threads wait for each other's locks", (1.5, 25)),
    ("0badf00d", "suspicious", "pool-starvation", "every worker of the thread pool is blocked, " * 3, (0.1, 0.2, 0.3)),
    (None, "inconclusive", "needs-memory", "what would tell is not in the dump", (6, 40)),
    (None, "none", "nothing-stuck", "<script>document.title = 'run'</script>", (2,)),
)
"""(signature, status, kind, sentence, ages of its dumps in days)"""


def written(folder: Path) -> Path:
    """The page; 5800e545 was resolved nine days ago and came back, 4fd21060 is known."""
    report = to_dict(hang_self())
    pid = 0
    with store.opened(str(folder / "page.sqlite")) as opened:
        for number, (signature, status, kind, words, ages) in enumerate(KINDS):
            for age in ages:
                pid += 1
                one = json.loads(json.dumps(report))
                one["dump"]["pid"] = pid
                line = f"dumpwalk-verdict: {status} {kind}: {words} [sig {signature or '-'}]"
                fingerprint = None if signature else f"{number:012x}"
                one["verdict"].update(signature=signature, status=status, kind=kind, line=line, fingerprint=fingerprint)
                opened.add(record_of(one, NOW - timedelta(days=age)), f"https://ci.example/run/{pid}")
        opened.mark("5800e545", "resolved", "https://example.org/7", NOW - timedelta(days=9))
        opened.mark("4fd21060", "known", "https://example.org/8", NOW)
        file = folder / "page.html"
        file.write_text(page.render(opened, opened.seen(NOW), NOW), encoding="utf-8")
    return file
