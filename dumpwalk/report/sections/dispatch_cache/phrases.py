"""The dispatch cache in words."""

from __future__ import annotations

from typing import Dict, List

from dumpwalk.report.model import DispatchCache
from dumpwalk.report.names import plural

WALKED = {
    "complete": "walked to their ends",
    "partial": "walked as far as they could be",
    "not-in-dump": "not in the dump",
}
SOUND = "Each element is in its right bucket, none is met twice, every chain ends at the end marker."
EMPTY = "It is empty."
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
    if cache.walked == "complete" and not cache.elements and not cache.violations:
        return EMPTY
    extent = WALKED.get(cache.walked, cache.walked)
    if cache.buckets == 1:
        extent = extent.replace("their ends", "its end").replace("they could", "it could")
    return f"{plural(cache.elements, 'element')} in {plural(cache.buckets, 'bucket')}: {extent}."


def told_of(cache: DispatchCache, buckets: List[int]) -> List[str]:
    """Sentences on what the walk met, cycles in `buckets` (told elsewhere) said shortly."""
    out = [walked(cache)]
    if cache.walked == "not-in-dump" or out[0] == EMPTY:
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
