"""The dispatch cache on the page: what is wrong with it, where it is, the elements of its circular chains."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.model import Cycle, DispatchCache, Violation
from dumpwalk.report.section import HtmlPart
from dumpwalk.report.sections.dispatch_cache import phrases


@dataclass(frozen=True)
class CacheView:
    cache: Optional[DispatchCache]
    title: str = ""
    told: str = ""
    rows: Tuple[Tuple[str, str], ...] = ()
    cycles: Tuple[Cycle, ...] = ()
    violations: Tuple[Violation, ...] = ()
    violations_left: int = 0


def _view(core: Any) -> CacheView:
    cache: Optional[DispatchCache] = core.report.dispatch_cache
    if cache is None:
        return CacheView(None)
    buckets = list(core.finding.buckets) if core.finding else []
    rows = (
        ("address", cache.address), ("table", cache.table), ("end marker", cache.sentinel or "not known"),
        ("write lock", cache.lock or "not known"), ("layout", cache.layout or "not known"),
        ("found by", "; ".join(cache.located_by) or "not told"),
    )  # fmt: skip
    return CacheView(
        cache,
        "The rest of the cache" if buckets else "The interface-dispatch cache",
        " ".join(phrases.told_of(cache, buckets)),
        rows,
        cache.cycles,
        cache.violations,
        phrases.total(cache) - len(cache.violations),
    )


HTML = (
    HtmlPart(50, "cache", "dispatch_cache/page.html.j2", _view, lambda view: "Dispatch cache" if view.cache else ""),
)
