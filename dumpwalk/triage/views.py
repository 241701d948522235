"""The store's answers as text, Markdown, JSON and one JSON line a signature. The page for a team is page.py."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Dict, List, Sequence

from dumpwalk.report.markdown_escape import code, prose
from dumpwalk.triage import words
from dumpwalk.triage.store import WINDOWS, Seen, Store


def render(store: Store, found: Sequence[Seen], at: datetime, kind: str, width: int) -> str:
    """`triage list` in one of its formats."""
    if kind == "html":
        from dumpwalk.triage import page

        return page.render(store, found, at)
    if kind in ("json", "ndjson"):
        about = store.runtimes([s.key for s in found])
        rows = [_row(s, about.get(s.key, {})) for s in found]
        return json.dumps(rows, indent=2) if kind == "json" else "\n".join(json.dumps(r) for r in rows)
    return _markdown(found) if kind == "markdown" else _text(found, width)


def hits(one: Seen, kind: str) -> str:
    """`triage hits`. The Markdown has the columns of the form of a Known Build Error (dotnet/arcade issue template)."""
    if kind == "json":
        return json.dumps({"signature": one.key, **{_window_key(n): one.windows[n] for n, _ in WINDOWS}}, indent=2)
    names = [f"{name} Hit Count" for name, _ in WINDOWS]
    counts = [str(one.windows[name]) for name, _ in WINDOWS]
    if kind == "markdown":
        return "\n".join(f"|{'|'.join(row)}|" for row in (names, ["---"] * len(names), counts))
    return "\n".join(f"{name}: {count}" for name, count in zip(names, counts))


def show(store: Store, one: Seen, kind: str) -> str:
    """`triage show`."""
    dumps = store.dumps(one.key)
    about = store.runtimes([one.key]).get(one.key, {})
    if kind == "json":
        listed = [{k: v.isoformat() + "Z" if isinstance(v, datetime) else v for k, v in d.items()} for d in dumps]
        return json.dumps({**_row(one, about), "dumps": listed}, indent=2)
    lines = [one.line, "", f"state       {_state(one)}"]
    counts = ", ".join(f"{one.windows[name]} in {_spoken(name)}" for name, _ in WINDOWS)
    lines += [
        f"hits        {one.hits} in all; {counts}",
        f"first seen  {words.when(one.first_seen)}",
        f"last seen   {words.when(one.last_seen)}",
        f"runtimes    {', '.join(about.get('runtimes', [])) or 'none'}",
        f"systems     {', '.join(about.get('systems', [])) or 'none'}",
        "",
        "newest dumps",
    ]
    for dump in dumps[:10]:
        link = f"  {dump['link']}" if dump["link"] else ""
        lines.append(f"  {words.when(dump['seen_at'])}  {_visible(dump['core'])}  {dump['runtime'] or '-'}{link}")
    if one.hits > 10:
        lines.append(f"  ... and {one.hits - 10} more")
    lines += ["", f"its newest report: dumpwalk triage show {one.key} -f report"]
    return "\n".join(lines)


def known_sentence(one: Seen) -> str:
    """Under the verdict of a report that was made with --store: since when it is known, how often, where it is followed."""
    times = "once" if one.hits == 1 else f"{one.hits} times"
    sentence = f"Seen {times} since {words.when(one.first_seen)[:10]}"
    if one.issue:
        sentence += f", see {one.issue}"
    if one.regressed:
        return f"It was resolved and came back. {sentence}."
    return f"{sentence}."


def _text(found: Sequence[Seen], width: int) -> str:
    if not found:
        return "no signatures; `dumpwalk triage add report.json` adds some"
    from tabulate import tabulate

    rows = [
        [
            s.key,
            _state(s),
            s.status,
            *(s.windows[name] for name, _ in WINDOWS),
            s.hits,
            words.when(s.last_seen)[:10],
            f"{s.kind}: {words.sentence(s.line)}",
        ]
        for s in found
    ]
    heads = ["signature", "state", "verdict", "24 h", "7 days", "month", "all", "last", "what"]
    table = tabulate(rows, headers=heads, tablefmt="plain", disable_numparse=True).splitlines()
    return "\n".join((line if len(line) <= width else line[: width - 3] + "...").rstrip() for line in table)


def _markdown(found: Sequence[Seen]) -> str:
    heads = ["Signature", "State", "24 h", "7 days", "1 month", "All", "Last seen", "What"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for one in found:
        state = f"[{words.state_word(one)}]({one.issue})" if one.issue else words.state_word(one)
        cells = [code(one.key), state, *(str(one.windows[n]) for n, _ in WINDOWS), str(one.hits)]
        lines.append(f"| {' | '.join([*cells, words.when(one.last_seen)[:10], prose(words.sentence(one.line))])} |")
    return "\n".join(lines)


def _row(one: Seen, about: Dict[str, List[str]]) -> Dict[str, Any]:
    return {
        "signature": one.key,
        "state": one.state,
        "regressed": one.regressed,
        "issue": one.issue,
        "status": one.status,
        "kind": one.kind,
        "line": one.line,
        "hits": one.hits,
        **{_window_key(name): one.windows[name] for name, _ in WINDOWS},
        "first_seen": words.when(one.first_seen),
        "last_seen": words.when(one.last_seen),
        "runtimes": about.get("runtimes", []),
        "systems": about.get("systems", []),
    }


def _window_key(name: str) -> str:
    return {"24-Hour": "hits_24_hours", "7-Day": "hits_7_days", "1-Month": "hits_1_month"}[name]


def _spoken(name: str) -> str:
    return {"24-Hour": "24 hours", "7-Day": "7 days", "1-Month": "a month"}[name]


def _state(one: Seen) -> str:
    return f"{words.state_word(one)}, {one.issue}" if one.issue and one.state != "new" else words.state_word(one)


def _visible(text: str) -> str:
    from dumpwalk.core.visible import visible

    return visible(text)
