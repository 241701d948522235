"""Several cores: in which order they are told, and which of them share one full report."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Dict, List, Sequence, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.model import Entry, Report

SEVERITY = ("hang", "suspicious", "inconclusive", "not analysed", "none")


@dataclass(frozen=True)
class Told:
    """What is told in full, and the cores that show the same."""

    entry: Entry
    like: Tuple[Report, ...] = ()


def status_of(entry: Entry) -> str:
    return entry.verdict.status if isinstance(entry, Report) else "not analysed"


def path_of(entry: Entry) -> str:
    return entry.dump.path if isinstance(entry, Report) else entry.path


def by_severity(entries: Sequence[Entry]) -> List[Entry]:
    """The worst first; of one severity in the order given."""
    return sorted(entries, key=lambda e: _rank(status_of(e)))


def told(entries: Sequence[Entry]) -> List[Told]:
    """One full report for each signature, or fingerprint where there is none: by severity, then by the number of cores that
    show it. A core that has neither stands alone."""
    groups: Dict[Tuple[str, ...], List[Entry]] = {}
    for position, entry in enumerate(by_severity(entries)):
        groups.setdefault(_sameness(entry, position), []).append(entry)
    found = [Told(first, tuple(r for r in rest if isinstance(r, Report))) for first, *rest in groups.values()]
    return sorted(found, key=lambda t: (_rank(status_of(t.entry)), -len(t.like)))


def names(entries: Sequence[Entry]) -> Dict[str, str]:
    """What to call each core, by its path: the file's name where all differ, else the path."""
    paths = [path_of(entry) for entry in entries]
    short = {path: os.path.basename(path) or path for path in paths}
    return short if len(set(short.values())) == len(short) else {path: path for path in paths}


def with_name(report: Report, name: str) -> Report:
    """Its verdict line begins with the core's name."""
    return replace(report, verdict=replace(report.verdict, line=f"{name}: {report.verdict.line}"))


def _rank(status: str) -> int:
    return SEVERITY.index(status) if status in SEVERITY else 2


def _sameness(entry: Entry, position: int) -> Tuple[str, ...]:
    if isinstance(entry, Report):
        verdict = entry.verdict
        if verdict.signature:
            return (verdict.status, verdict.kind, verdict.signature)
        if verdict.fingerprint:
            return (verdict.status, verdict.kind, verdict.sentence, "picture", verdict.fingerprint)
    return ("alone", str(position))
