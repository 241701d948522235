"""The exit code of several cores."""

from __future__ import annotations

from typing import Sequence

from dumpwalk.report.model import Entry, Report

RANK = (10, 11, 12, 0)
"""Exit codes, the most telling first; a core that could not be analysed counts as 12."""


def exit_code(entries: Sequence[Entry]) -> int:
    """The highest-ranking of the cores' codes; 1 where none could be analysed."""
    codes = {entry.verdict.exit_code if isinstance(entry, Report) else 12 for entry in entries}
    if not any(isinstance(entry, Report) for entry in entries):
        return 1
    return next((code for code in RANK if code in codes), 0)
