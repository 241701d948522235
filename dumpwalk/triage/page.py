"""The team's page: every signature with its hits by day, in one HTML file that needs nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Dict, List, Sequence

from dumpwalk.triage.store import WINDOWS, Seen, Store
from dumpwalk.triage.words import sentence, state_word, when

DAYS = 30
_BAR, _HEIGHT = 4, 28


def render(store: Store, found: Sequence[Seen], at: datetime) -> str:
    from markupsafe import Markup

    from dumpwalk.report.content_policy import policy
    from dumpwalk.report.templates import asset, environment

    package = str(__package__)
    days = store.by_day(at, DAYS)
    about = store.runtimes([s.key for s in found])
    links = store.links()
    rows = [_row(s, days.get(s.key, [0] * DAYS), about.get(s.key, {}), links.get(s.key, ""), at) for s in found]
    total = {name: sum(s.windows[name] for s in found) for name, _ in WINDOWS}
    style, script = asset(package, "page.css"), asset(package, "page.js")
    return str(
        environment(lambda name: asset(package, name))
        .get_template("page.html.j2")
        .render(
            rows=rows,
            at=when(at),
            total=total,
            windows=[name for name, _ in WINDOWS],
            days=DAYS,
            policy=policy(style, script),
            style=Markup(style),
            script=Markup(script),
        )
    )


def _row(one: Seen, days: List[int], about: Dict[str, List[str]], link: str, at: datetime) -> Dict[str, Any]:
    most = max(days) or 1
    bars = [
        {
            "x": i * (_BAR + 1),
            "height": max(round(n / most * _HEIGHT), 2) if n else 0,
            "title": f"{(at - timedelta(days=DAYS - 1 - i)).strftime('%Y-%m-%d')}: {n}",
        }
        for i, n in enumerate(days)
    ]
    return {
        "one": one,
        "state": state_word(one),
        "sentence": sentence(one.line),
        "first": when(one.first_seen)[:10],
        "last": when(one.last_seen)[:16].replace("T", " "),
        "link": link if link.startswith(("http://", "https://")) else None,
        "runtimes": about.get("runtimes", []),
        "systems": about.get("systems", []),
        "bars": bars,
        "bar": _BAR,
        "height": _HEIGHT,
        "width": DAYS * (_BAR + 1),
        "peak": max(days),
    }
