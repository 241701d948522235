"""One kind of finding a file. Detectors read facts and print nothing; each is run, skipped or failed, and that is recorded.

The order here is the order of precedence within one status (docs/findings.md).
"""

from __future__ import annotations

from typing import Callable, List, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.detectors import (
    crash,
    dispatch_cache_cycle,
    dispatch_cache_damage,
    dispatch_cache_stub_spin,
    gc_suspension,
    lock_contention,
    lock_cycle,
    lock_lost_wakeup,
    lock_orphaned,
    stacks_only,
)
from dumpwalk.report.model import Finding

Detector = Callable[[Facts], List[Finding]]

DETECTORS: Tuple[Tuple[str, Detector], ...] = (
    (dispatch_cache_cycle.KIND, dispatch_cache_cycle.detect),
    (dispatch_cache_stub_spin.KIND, dispatch_cache_stub_spin.detect),
    (dispatch_cache_damage.KIND, dispatch_cache_damage.detect),
    (lock_cycle.KIND, lock_cycle.detect),
    (lock_orphaned.KIND, lock_orphaned.detect),
    (lock_lost_wakeup.KIND, lock_lost_wakeup.detect),
    (lock_contention.KIND, lock_contention.detect),
    (gc_suspension.KIND, gc_suspension.detect),
    (stacks_only.KIND, stacks_only.detect),
    (crash.KIND, crash.detect),
)

_STATUS_ORDER = {"hang": 0, "suspicious": 1, "inconclusive": 2, "none": 3}


def run_all(facts: Facts) -> List[Finding]:
    """All findings, the most important first. A detector that fails is a coverage entry; the others go on."""
    found: List[Finding] = []
    for kind, detect in DETECTORS:
        try:
            found.extend(detect(facts))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # a bug of ours met on strange input must not cost the reader the rest of the report
            facts.cover(f"detector {kind}", "none", f"failed: {type(error).__name__}: {error}")
    order = {kind: position for position, (kind, _) in enumerate(DETECTORS)}
    found.sort(key=lambda f: (_STATUS_ORDER[f.status], order[f.kind], f.id))
    return found
