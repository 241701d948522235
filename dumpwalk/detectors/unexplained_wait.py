"""unexplained-wait: threads sleep on a word that is of no kind that the C library has."""

from __future__ import annotations

from typing import Dict, List

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.unexplained import UNKNOWN_KIND
from dumpwalk.claims.model import Finding
from dumpwalk.claims.words import Status
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.unsettled_waits import findings_of

_SENTENCES: Dict[Status, str] = {"inconclusive": "some threads wait for something that dumpwalk cannot read"}


def detect(facts: Facts) -> List[Finding]:
    return findings_of(facts, UNKNOWN_KIND)


DETECTOR = Detector(
    UNKNOWN_KIND,
    92,
    _SENTENCES,
    "inconclusive (12)",
    detect,
)
