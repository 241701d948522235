"""Which binaries lack, and the commands that fetch them."""

from __future__ import annotations

from typing import Dict, List, Sequence

from dumpwalk.report.model import Module, Report
from dumpwalk.report.names import base_name


def lacking(report: Report) -> List[Module]:
    return [module for module in report.modules if module.match in ("missing", "mismatched")]


def module_words(report: Report) -> str:
    counts: Dict[str, int] = {}
    for module in report.modules:
        counts[module.match] = counts.get(module.match, 0) + 1
    return ", ".join(f"{number} {match}" for match, number in sorted(counts.items())) or "none known"


def fetch_commands(modules: Sequence[Module]) -> List[str]:
    """The commands that fetch them, each once, without the comment that tells a module's key."""
    return list(dict.fromkeys(module.fetch.split("  #")[0].rstrip() for module in modules if module.fetch))


def nameless(modules: Sequence[Module], most: int = 12) -> str:
    """The file names of those without a build-id, each once."""
    names = sorted({base_name(module.path) for module in modules if not (module.build_id or module.fetch)})
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
