"""What `dumpwalk batch` says at the end: by severity, then by count; one full report for each signature."""

from __future__ import annotations

import json
from typing import Dict, List, Sequence, Tuple

from dumpwalk.core.visible import visible
from dumpwalk.report import exit_codes, several, text
from dumpwalk.report.json_format import from_dict
from dumpwalk.report.model import FailedCore, Report
from dumpwalk.report.names import plural
from dumpwalk.triage.journal import Done
from dumpwalk.triage.store import Store
from dumpwalk.triage.words import sentence

FAILED_SHOWN = 50
ROWS = 200


def counted(done: Sequence[Done]) -> List[Tuple[str, str, int]]:
    """(status, key, cores), the worst first, then the most frequent."""
    counts: Dict[Tuple[str, str], int] = {}
    for one in done:
        if one.key is not None:
            counts[(one.status, one.key)] = counts.get((one.status, one.key), 0) + 1
    rows = [(status, key, number) for (status, key), number in counts.items()]
    return sorted(rows, key=lambda r: (several.SEVERITY.index(r[0]), -r[2], r[1]))


def exit_code(done: Sequence[Done]) -> int:
    """As of several cores in one call of analyze."""
    codes = {"hang": 10, "suspicious": 11, "inconclusive": 12, "none": 0, "not analysed": 12}
    found = {codes.get(one.status, 12) for one in done}
    if done and all(one.key is None for one in done):
        return 1
    return next((code for code in exit_codes.RANK if code in found), 0)


def reports(store: Store, rows: Sequence[Tuple[str, str, int]]) -> Dict[str, Report]:
    """The newest full report of each key that has one."""
    found = {}
    for _, key, _ in rows:
        kept = store.newest_report(key)
        if kept is not None:
            found[key] = from_dict(json.loads(kept))
    return found


def failures(done: Dict[str, Done]) -> List[FailedCore]:
    """`done` by path: what could not be analysed, as `analyze` of several cores tells it."""
    return [FailedCore(path, one.error or "not analysed.", 1) for path, one in done.items() if one.key is None]


def render(store: Store, done: Dict[str, Done], width: int, color: bool) -> str:
    """`done` by path. The table, what could not be analysed, one full report each."""
    rows = counted(list(done.values()))
    failed = [(path, one.error or "") for path, one in done.items() if one.key is None]
    statuses = [one.status for one in done.values()]
    told = ", ".join(
        f"{statuses.count(s):,} {'nothing stuck' if s == 'none' else s}" for s in several.SEVERITY if s in statuses
    )
    out = [f"{plural(len(done), 'core')}: {told or 'none'}", ""]
    kept = reports(store, rows[:ROWS])
    if rows:
        from tabulate import tabulate

        cells = []
        for status, key, number in rows[:ROWS]:
            verdict = kept[key].verdict if key in kept else None
            what = f"{verdict.kind}: {sentence(verdict.line)}" if verdict is not None else "its report is not kept"
            cells.append([status, f"{number:,}", key, visible(what)])
        table = tabulate(cells, ["verdict", "cores", "signature", "what"], tablefmt="simple", disable_numparse=True)
        out += [(line if len(line) <= width else line[: width - 3] + "...").rstrip() for line in table.splitlines()]
    if len(rows) > ROWS:
        out.append(f"{plural(len(rows) - ROWS, 'signature')} more: `dumpwalk triage list` has them.")
    if failed:
        out += ["", "Not analysed"]
        out += [f"  {visible(error)}" for _, error in failed[:FAILED_SHOWN]]
        if len(failed) > FAILED_SHOWN:
            out.append(f"  ... and {len(failed) - FAILED_SHOWN:,} more")
    out.append("")
    for report in kept.values():
        path = report.dump.path
        named = several.with_name(report, visible(path.rsplit("/", 1)[-1]))
        out += ["=" * min(width, 100), visible(path), "", text.render(named, width, color)]
    return "\n".join(out).rstrip() + "\n"
