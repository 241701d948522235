"""The closed vocabularies of the walk of the dispatch cache."""

from __future__ import annotations

from typing import Literal

End = Literal[
    "sentinel", "null", "misaligned", "limit", "seen", "missing", "cycle", "shared", "unreadable", "not-captured"
]
"""How the walk of one chain ended. `seen` and `missing` are what the pass itself meets; looked at once more they are a cycle or
shared, and unreadable or not-captured."""
DamageKind = Literal[
    "wrong-bucket", "misaligned-mt", "duplicate-key", "shared-node", "null-end", "misaligned", "unreadable",
    "damaged-sentinel",
    "damaged-empty", "second-cache",
]  # fmt: skip
"""The rule of the cache that is broken: the report's violations[].kind."""
AllocatorState = Literal["alive", "unloading", "dead"]
"""Of a loader allocator: unloading where its managed side is gone, dead where nothing refers to it any more."""
