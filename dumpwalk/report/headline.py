"""The verdict's word and headline, as every renderer for people begins."""

from __future__ import annotations

from typing import Tuple

from dumpwalk.report.model import Report

STATUS_WORDS = {
    "hang": "HANG",
    "suspicious": "SUSPICIOUS",
    "inconclusive": "INCONCLUSIVE",
    "none": "NOTHING STUCK",
}
CRASH = "CRASH, "
"""How the headline of a dump begins that a crash made and that shows no hang."""


def headline(report: Report) -> Tuple[str, str, bool]:
    """(the word in capitals, the headline after it, whether that is CRASH and not the verdict's own)."""
    verdict = report.verdict
    text = verdict.headline or verdict.sentence
    if text.startswith(CRASH):
        return CRASH.rstrip(", "), text[len(CRASH) :], True
    return STATUS_WORDS.get(verdict.status, verdict.status.upper()), text, False
