"""dispatch-cache-stub-spin: a bucket's chain is cyclic and threads walk it without the lock.

ResolveWorkerChainLookupAsmStub, Lookup, CacheLookup and GetTarget read chains without m_writeLock, in cooperative mode: each
spins alone, and the next garbage collection waits for it.
"""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Finding
from dumpwalk.detectors import chain_findings
from dumpwalk.detectors.detector import Detector

KIND = "dispatch-cache-stub-spin"


def detect(facts: Facts) -> List[Finding]:
    if facts.cache is None or any(w.stuck and w.writer for w in facts.walkers):
        return []
    spinners = [w for w in facts.walkers if w.stuck]
    if not spinners:
        return []
    others = [w for w in facts.walkers if w.likely]
    return [chain_findings.stuck_finding(facts, KIND, spinners, others)]


DETECTOR = Detector(
    KIND, 20, {"hang": "threads walk a cyclic bucket chain for ever without a lock"}, "hang (10)", detect
)
