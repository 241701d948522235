"""Findings on the page: the proof of the verdict's, what it leaves open, its lldb commands, and the others."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.model import Coverage, Evidence, Finding
from dumpwalk.report.next_steps import Step, lacking, steps
from dumpwalk.report.section import HtmlPart
from dumpwalk.report.sections.dispatch_cache import figure
from dumpwalk.report.sections.findings import phrases

CHAINS = 6
"""Circular chains drawn; further ones are counted, and their elements stand in the tables."""


@dataclass(frozen=True)
class Claims:
    """What the templates of findings share."""

    finding: Optional[Finding]
    open: int = phrases.CLAIMS
    """Claims of a finding that stand open; the others are folded."""

    def fact(self, evidence: Evidence) -> str:
        return phrases.fact(evidence)

    def shows(self, evidence: Evidence) -> str:
        """What stands in the command's output, where the claim itself does not say it."""
        value = (evidence.shows or "").rstrip(":")
        return value if value not in evidence.what else ""

    def notes(self, finding: Finding) -> List[Tuple[str, str]]:
        return phrases.repro_notes(finding)


@dataclass(frozen=True)
class Proof(Claims):
    title: str = ""
    chains: Tuple[figure.ChainFigure, ...] = ()
    more_chains: int = 0


@dataclass(frozen=True)
class Others(Claims):
    findings: Tuple[Finding, ...] = ()
    title: str = ""


def _proof(core: Any) -> Proof:
    finding: Optional[Finding] = core.finding
    if finding is None:
        return Proof(None)
    cycles: Sequence[Any] = core.report.dispatch_cache.cycles if core.report.dispatch_cache else ()
    mine = set(finding.buckets)
    ordered = sorted(cycles, key=lambda cycle: (cycle.bucket not in mine, cycle.bucket))
    chains = tuple(figure.figure(cycle, core.report.wait_graph) for cycle in ordered[:CHAINS])
    return Proof(finding, title=phrases.proof_title(finding), chains=chains, more_chains=len(cycles) - len(chains))


@dataclass(frozen=True)
class Next:
    steps: Tuple[Step, ...] = ()
    lacking: Tuple[Coverage, ...] = ()


def _next(core: Any) -> Next:
    """Where no hang is shown: the commands for this dump."""
    if core.report.verdict.status == "hang":
        return Next()
    return Next(tuple(steps(core.report, core.finding)), tuple(lacking(core.report)))


def _others(core: Any) -> Others:
    found = tuple(phrases.other_findings(core.report, core.finding))
    return Others(core.finding, findings=found, title="Also found" if core.finding else "Notes")


HTML = (
    HtmlPart(44, "next", "findings/next.html.j2", _next, lambda view: "What next" if view.steps else ""),
    HtmlPart(45, "proof", "findings/proof.html.j2", _proof, lambda proof: proof.title),
    HtmlPart(
        60, "open", "findings/open.html.j2", lambda core: core.finding or (),
        lambda finding: "What it does not show" if finding else "",
    ),
    HtmlPart(
        65, "lldb", "findings/lldb.html.j2", lambda core: Claims(core.finding),
        lambda claims: "See it yourself" if claims.finding and claims.finding.repro else "",
    ),
    HtmlPart(70, "others", "findings/others.html.j2", _others, lambda others: others.title if others.findings else ""),
)  # fmt: skip
