"""The dispatch cache in text: one paragraph in the report, every cycle and violation in `dumpwalk cache`."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.model import Finding, Report, Violation
from dumpwalk.report.section import TextPart
from dumpwalk.report.sections.dispatch_cache.drawing import drawing
from dumpwalk.report.sections.dispatch_cache.phrases import VIOLATIONS_TOLD, told_of, total, walked
from dumpwalk.report.text_page import INDENT, Page


def rest_of_cache(page: Page, report: Report, finding: Optional[Finding]) -> None:
    cache = report.dispatch_cache
    if cache is None:
        return
    buckets = list(finding.buckets) if finding else []
    page.heading("The rest of the cache" if buckets else "The interface-dispatch cache")
    page.say(" ".join(told_of(cache, buckets)))
    proved = {(e.address, e.what) for e in finding.evidence} if finding else set()
    rest = [v for v in cache.violations if (v.address, f"{v.kind}: {v.detail}") not in proved]
    for violation in rest[:VIOLATIONS_TOLD]:
        page.say(describe(violation), INDENT + "- ")
    left = total(cache) - (len(cache.violations) - len(rest)) - len(rest[:VIOLATIONS_TOLD])
    if left:
        page.say(f"{left:,} more: `dumpwalk cache CORE`", INDENT + "- ")


def describe(violation: Violation) -> str:
    where = f"bucket {violation.bucket}" if violation.bucket is not None else "bucket not known"
    at = f" at {violation.address}" if violation.address else ""
    return f"{violation.kind}, {where}{at}: {violation.detail}"


def in_full(page: Page, report: Report) -> None:
    """Where it is and how that is known, every chain with a loop, every violation listed."""
    cache = report.dispatch_cache
    if cache is None:
        page.heading("Dispatch cache")
        reason = "no .NET runtime was found in this process" if report.runtime is None else "it was not found"
        page.say(f"Nothing to show: {reason}.")
        for line in report.coverage:
            if "cache" in line.area:
                page.say(f"{line.area}: {line.status}. {line.why}")
        return
    page.heading("Dispatch cache")
    rows = [("address", cache.address), ("table", cache.table), ("end marker", cache.sentinel or "not known"),
            ("write lock", cache.lock or "not known"), ("layout", cache.layout or "not known"),
            ("found by", "; ".join(cache.located_by) or "not told"), ("walked", walked(cache))]  # fmt: skip
    page.columns(rows)
    for cycle in cache.cycles:
        extent = f"{len(cycle.tail)} before the loop, {cycle.length} in it"
        page.heading(f"Circular chain of bucket {cycle.bucket}", extent)
        for drawn in drawing(cycle, page.width, 40, 40):
            page.raw(drawn)
        page.blank()
        first = len(cycle.tail) + 1
        nodes = [(i + 1, node) for i, node in enumerate(cycle.tail_nodes)]
        nodes += [(first + i, node) for i, node in enumerate(cycle.nodes)]
        table = [("", "element", "pMT", "token", "target", "pNext")]
        table += [(f"[{place}]", n.address, n.mt, n.token, n.target, n.next) for place, n in nodes]
        if max(sum(len(cell) + 2 for cell in row) for row in table) + 8 <= page.width:
            page.columns(table)
        else:
            for place, n in nodes:
                page.raw(f"{INDENT}[{place}] {n.address}")
                page.say(f"pMT {n.mt}  token {n.token}  target {n.target}  pNext {n.next}", INDENT * 4)
    page.heading("Rules broken")
    if not total(cache):
        page.say("None." if cache.walked == "complete" else "None in the part that could be walked.")
    for violation in cache.violations:
        home = f" (its key belongs in bucket {violation.home})" if violation.home is not None else ""
        page.say(describe(violation) + home, INDENT + "- ")
    if total(cache) > len(cache.violations):
        page.say(f"{total(cache) - len(cache.violations):,} more were counted and are not listed.")


TEXT = (TextPart(rank=50, write=rest_of_cache),)
IN_FULL = in_full
