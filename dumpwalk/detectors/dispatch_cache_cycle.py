"""dispatch-cache-cycle: a bucket's chain is cyclic and a thread walks it holding m_writeLock.

Proof: the chain's own words make a cycle; the thread runs in the walk (or owns the lock, which only Insert and
PromoteChainEntry take) with its cursor on it; the lock's owner word is that thread. Then nobody else can write the chain, the
walk cannot end, and whoever wants the lock waits for ever.
"""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Finding
from dumpwalk.detectors import chain_findings
from dumpwalk.detectors.detector import Detector

KIND = "dispatch-cache-cycle"


def detect(facts: Facts) -> List[Finding]:
    writers = [w for w in facts.walkers if w.stuck and w.writer]
    if not writers or facts.cache is None:
        return []
    others = [w for w in facts.walkers if (w.stuck or w.likely) and not w.writer]
    return [chain_findings.stuck_finding(facts, KIND, writers, others)]


DETECTOR = Detector(
    KIND,
    10,
    {"hang": "a thread walks a cyclic bucket chain for ever holding DispatchCache::m_writeLock"},
    "hang (10)",
    detect,
)
