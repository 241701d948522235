"""A finding kind: one file in this folder that exports `DETECTOR`, and its explanation beside it (`KIND.md`).

Nothing lists them by hand: `all_detectors` walks the folder, `dumpwalk explain` and docs/findings.md read the texts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, List, Mapping, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Coverage, Finding
from dumpwalk.claims.signature import signature
from dumpwalk.claims.words import STATUSES, Status
from dumpwalk.core.parts import exported
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Detector:
    kind: str
    rank: int
    """Within one status the finding of the lower rank decides the verdict."""
    sentences: Mapping[Status, str]
    """The verdict line's sentence for each status that its findings can give, unless a finding brings its own."""
    gives: str
    """The same for people, with the exit codes: `hang (10); suspicious (11) where a step is not proved`."""
    detect: Callable[[Facts], List[Finding]]


def all_detectors() -> List[Detector]:
    """In the order of precedence within one status."""
    return sorted(exported("dumpwalk.detectors", "DETECTOR"), key=lambda d: (d.rank, d.kind))


def run_all(facts: Facts) -> Tuple[List[Finding], List[Coverage]]:
    """All findings, the most important first, and an entry for each detector that failed; the others go on."""
    found: List[Tuple[int, int, Finding]] = []
    failed: List[Coverage] = []
    for detector in all_detectors():
        try:
            findings: Sequence[Finding] = detector.detect(facts)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # a bug of ours met on strange input must not cost the reader the rest of the report
            why = f"failed: {type(error).__name__}: {error}"
            failed.append(Coverage(f"detector {detector.kind}", "none", why))
            continue
        if len(findings) > limits.FINDINGS:
            why = f"the first {limits.FINDINGS} findings {detector.kind} are told, there are more"
            failed.append(Coverage("findings", "partial", why))
        for finding in findings[: limits.FINDINGS]:
            found.append((STATUSES.index(finding.status), detector.rank, _identified(detector, finding)))
    found.sort(key=lambda item: (item[0], item[1], item[2].id))
    return [finding for _, _, finding in found], failed


def _identified(detector: Detector, finding: Finding) -> Finding:
    """The finding with its verdict sentence and its signature."""
    return replace(
        finding,
        sentence=finding.sentence or detector.sentences.get(finding.status),
        signature=signature(finding.kind, finding.signature_parts) if finding.signature_parts else None,
    )
