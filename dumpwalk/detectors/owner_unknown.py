"""owner-unknown: threads wait for a lock whose memory names no owner, or not those who matter: readers, spin locks."""

from __future__ import annotations

from typing import Dict, List

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.unexplained import OWNER_UNKNOWN
from dumpwalk.claims.model import Finding
from dumpwalk.claims.words import Status
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.unsettled_waits import findings_of

_SENTENCES: Dict[Status, str] = {"inconclusive": "some threads wait for a lock that names no owner"}


def detect(facts: Facts) -> List[Finding]:
    return findings_of(facts, OWNER_UNKNOWN)


DETECTOR = Detector(OWNER_UNKNOWN, 91, _SENTENCES, "inconclusive (12)", detect)
