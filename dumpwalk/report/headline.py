"""The verdict's word and headline, as every renderer for people begins."""

from __future__ import annotations

import re
from typing import Tuple

from dumpwalk.report.model import Report

STATUS_WORDS = {
    "hang": "HANG",
    "suspicious": "SUSPICIOUS",
    "inconclusive": "INCONCLUSIVE",
    "none": "NOTHING STUCK",
}
_NOTHING = "Nothing stuck was found "
_NO_HANG = re.compile(r"([A-Z][A-Z ]+), (?=not a hang)")
"""How the headline of a dump begins that shows no hang: `CRASH, not a hang: ...`, `DEBUGGER STOP, not a hang ...`."""


def headline(report: Report) -> Tuple[str, str, bool]:
    """(the word in capitals, the headline after it, whether that is CRASH or the like and not the verdict's own)."""
    verdict = report.verdict
    text = verdict.headline or verdict.sentence
    other = _NO_HANG.match(text)
    if other is not None:
        return other[1], text[other.end() :], True
    return STATUS_WORDS.get(verdict.status, verdict.status.upper()), text, False


def after_word(text: str) -> str:
    """The headline where the word stands in the same line: `NOTHING STUCK  in native locks`."""
    return text[len(_NOTHING) :] if text.startswith(_NOTHING) else text
