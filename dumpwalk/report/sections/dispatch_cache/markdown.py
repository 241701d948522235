"""The dispatch cache in Markdown: its circular chains, and the rest of it."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.markdown_escape import code, details, more, prose, table
from dumpwalk.report.model import Cycle, Finding, Report
from dumpwalk.report.section import MarkdownPart
from dumpwalk.report.sections.dispatch_cache.phrases import told_of, total

CHAIN_ROWS, CYCLES = 24, 4


def chain(report: Report, finding: Optional[Finding]) -> str:
    cycles = list(report.dispatch_cache.cycles) if report.dispatch_cache else []
    mine = set(finding.buckets) if finding else set()
    cycles.sort(key=lambda cycle: (cycle.bucket not in mine, cycle.bucket))
    return "\n\n".join(_chain(cycle) for cycle in cycles[:CYCLES]) + more(len(cycles), CYCLES, "circular chain")


def _chain(cycle: Cycle) -> str:
    entry = len(cycle.tail) + 1
    tail = {node.address: node for node in cycle.tail_nodes}
    rows = []
    for place, address in enumerate(cycle.tail, 1):
        node = tail.get(address)
        words = [code(text) for text in (node.mt, node.token, node.target, node.next)] if node else [""] * 4
        rows.append([f"{place}, before the loop", code(address), *words])
    for place, node in enumerate(cycle.nodes, entry):
        back = f", back to {entry}" if place == entry + cycle.length - 1 else ""
        role = f"{place}, loop{back}"
        rows.append([role, code(node.address), code(node.mt), code(node.token), code(node.target), code(node.next)])
    total = len(cycle.tail) + cycle.length
    if len(rows) > CHAIN_ROWS:
        rows = rows[: CHAIN_ROWS - 4] + rows[-4:]
    left = "" if total == len(rows) else f"\n\n{total - len(rows):,} elements between them are not listed."
    title = f"The chain of bucket {cycle.bucket}: {len(cycle.tail)} before the loop, {cycle.length} in it"
    return details(title, f"{table(('element', 'address', 'pMT', 'token', 'target', 'pNext'), rows)}{left}")


def cache(report: Report, finding: Optional[Finding]) -> str:
    found = report.dispatch_cache
    if found is None:
        return ""
    buckets = list(finding.buckets) if finding else []
    text = prose(" ".join(told_of(found, buckets)))
    rows = [
        (code(v.kind), "" if v.bucket is None else str(v.bucket), "" if v.home is None else str(v.home),
         code(v.address or ""), prose(v.detail)) for v in found.violations[:CHAIN_ROWS]
    ]  # fmt: skip
    if rows:
        text += "\n\n" + table(("rule broken", "in bucket", "belongs in", "element", "detail"), rows)
        text += more(total(found), len(rows), "violation")
    title = "The rest of the cache" if buckets else "The interface-dispatch cache"
    return f"### {title}\n\n{text}"


MARKDOWN = (
    MarkdownPart("chain", rank=48, worth=50, write=chain),
    MarkdownPart("the rest of the cache", rank=50, worth=40, write=cache),
)
