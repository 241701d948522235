"""From facts to sections of the report: one file each, named as the section's key in the JSON, that exports `MAKE`.

Found by walking the folder; what `Report` itself declares is called by engine/assemble.py. No decision is made here: what a
section says stands in the facts.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Coverage
from dumpwalk.core.parts import exported_by


def make(facts: Facts) -> Tuple[Tuple[object, ...], Tuple[Coverage, ...]]:
    """All sections that this process has, and an entry for each that failed; the others are there."""
    makers: Dict[str, Callable[[Facts], Any]] = exported_by(__name__, "MAKE")
    made: List[object] = []
    failed: List[Coverage] = []
    for key, maker in makers.items():
        try:
            value = maker(facts)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # a bug of ours met on strange input must not cost the reader the rest of the report
            failed.append(Coverage(f"section {key}", "none", f"failed: {type(error).__name__}: {error}"))
            continue
        if value is not None:
            made.append(value)
    return tuple(made), tuple(failed)
