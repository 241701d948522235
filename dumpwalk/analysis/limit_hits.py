"""Bounds of limits.py that this very process hit: each makes its area partial and keeps the verdict from being "none".

Bounds that refuse a file, shorten a list whose whole length is told, or leave a coverage entry of their own (threads, notes,
managed threads, module folders) are not here; docs/limits.md tells for each what becomes of it.
"""

from __future__ import annotations

from typing import List, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.analysis.facts import Answers
from dumpwalk.claims.model import Coverage
from dumpwalk.core.names import plural


def applied(known: Sequence[Coverage], hits: Sequence[Tuple[str, str]]) -> List[Coverage]:
    """The coverage with the areas that a bound has cut told as partial."""
    entries = list(known)
    for area, why in hits:
        place = next((i for i, c in enumerate(entries) if c.area == area), None)
        if place is None:
            entries.append(Coverage(area, "partial", why))
            continue
        old = entries[place]
        entries[place] = Coverage(area, "partial" if old.status == "complete" else old.status, f"{why}; {old.why}")
    return entries


def of(facts: Answers) -> List[Tuple[str, str]]:
    """(area, sentence) of each bound that was hit."""
    found: List[Tuple[str, str]] = []
    cut = sum(1 for t in facts.process.threads if len(t.frames()) >= limits.FRAMES_PER_THREAD)
    if cut:
        what = plural(cut, "stack is", "stacks are")
        found.append(("stacks", f"{what} cut at {limits.FRAMES_PER_THREAD} frames"))
    core = facts.process.corefile
    found.extend(("modules", sentence) for sentence in (core.limited if core is not None else ()))
    if facts.cache is not None and facts.cache.walk.limited:
        found.append(("dispatch-cache", f"the walk of all chains ended after {limits.CHAIN_NODES} elements"))
    if facts.cache is None and facts.location.scan_complete is False:
        found.append(("dispatch-cache", "the search of memory ended at a limit before all of it was searched"))
    if facts.managed is not None and len(facts.managed.threads) >= limits.MANAGED_THREADS:
        found.append(("managed-threads", f"the list of managed threads ended after {limits.MANAGED_THREADS}"))
    return found
