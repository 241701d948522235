"""The dispatch cache in text: one paragraph in the report, every cycle and violation in `dumpwalk cache`."""

from __future__ import annotations

from typing import Dict, List

from dumpwalk.report.model import DispatchCache, Finding, Report, Violation
from dumpwalk.report.names import plural
from dumpwalk.report.text_chain import drawing
from dumpwalk.report.text_page import INDENT, Page

WALKED = {
    "complete": "walked to their ends",
    "partial": "walked as far as they could be",
    "not-in-dump": "not in the dump",
}
SOUND = "Each element is in its right bucket, none is met twice, every chain ends at the end marker."
VIOLATIONS_TOLD = 5


def violation_kinds(cache: DispatchCache) -> List[str]:
    """`3 wrong-bucket`, most frequent first; of all violations listed."""
    counts: Dict[str, int] = {}
    for violation in cache.violations:
        counts[violation.kind] = counts.get(violation.kind, 0) + 1
    return [f"{number:,} {kind}" for kind, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def total(cache: DispatchCache) -> int:
    return max(cache.violation_count, len(cache.violations))


def walked(cache: DispatchCache) -> str:
    if cache.walked == "not-in-dump":
        return "The memory of the interface-dispatch cache is not in this dump."
    extent = WALKED.get(cache.walked, cache.walked)
    return f"{plural(cache.elements, 'element')} in {plural(cache.buckets, 'bucket')}: {extent}."


def told_of(cache: DispatchCache, buckets: List[int]) -> List[str]:
    """Sentences on what the walk met, cycles in `buckets` (told elsewhere) said shortly."""
    out = [walked(cache)]
    if cache.walked == "not-in-dump":
        return out
    loops = [c for c in cache.cycles if c.bucket not in buckets]
    for cycle in loops[:VIOLATIONS_TOLD]:
        out.append(f"Bucket {cycle.bucket} leads into a loop of {cycle.length:,} too.")
    if len(loops) > VIOLATIONS_TOLD:
        out.append(f"{plural(len(loops) - VIOLATIONS_TOLD, 'more circular bucket')}.")
    number = total(cache)
    if number:
        times = "once" if number == 1 else f"{number:,} times"
        out.append(f"Its rules are broken {times}: {', '.join(violation_kinds(cache))}.")
    elif cache.walked == "complete":
        apart = "that chain" if len(cache.cycles) == 1 else f"these {len(cache.cycles):,} chains"
        out.append(f"Apart from {apart}, nothing is wrong with it." if cache.cycles else SOUND)
    else:
        out.append("Nothing wrong was met in the part that could be walked.")
    return out


def rest_of_cache(page: Page, report: Report, finding: object) -> None:
    cache = report.dispatch_cache
    if cache is None:
        return
    buckets = list(finding.buckets) if isinstance(finding, Finding) else []
    page.heading("The rest of the cache" if buckets else "The interface-dispatch cache")
    page.say(" ".join(told_of(cache, buckets)))
    for violation in cache.violations[:VIOLATIONS_TOLD]:
        page.say(describe(violation), INDENT + "- ")
    if total(cache) > VIOLATIONS_TOLD:
        page.say(f"{plural(total(cache) - VIOLATIONS_TOLD, 'more')[:-1]}: `dumpwalk cache CORE`", INDENT + "- ")


def describe(violation: Violation) -> str:
    where = f"bucket {violation.bucket}" if violation.bucket is not None else "bucket not known"
    at = f" at {violation.address}" if violation.address else ""
    return f"{violation.kind}, {where}{at}: {violation.detail}"


def cache_in_full(page: Page, report: Report) -> None:
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
