"""Names of the runtime's static Crsts in builds that carry no symbols, by build-id: where each lies was looked up beforehand.

How crst_names.json came to be, and what had to agree for a row to be in it, is told by scripts/make_crst_names.py, which writes
it. Here a row is believed only where memory agrees: the flags word of the Crst at that address (m_dwFlags, src/coreclr/vm/crst.h)
has the flags with which this build makes this lock. A name so found is corroborated, never proved.
"""

from __future__ import annotations

import json
import pkgutil
from functools import lru_cache
from typing import Any, Dict, Mapping, Optional, Tuple

from dumpwalk.core.memory import Memory
from dumpwalk.coreclr.layouts import CRST_INITIALIZED, CRST_OS_CRIT_SEC
from dumpwalk.coreclr.locks.crst import crst_flags
from dumpwalk.coreclr.runtime_view import RuntimeView

_TABLE = "crst_names.json"
Row = Tuple[str, int]
"""(name, the flags with which it is made)."""


def builds() -> Mapping[str, Dict[str, Any]]:
    """The table as it is: build-id to the build's version and platform, the build it was set beside, and its locks."""
    told: Dict[str, Dict[str, Any]] = json.loads(pkgutil.get_data(__package__, _TABLE) or b"{}")
    return told


@lru_cache(maxsize=1)
def _places() -> Mapping[str, Dict[int, Row]]:
    """Build-id to the locks of that build, by their offset from the image's start."""
    return {
        build_id: {int(place, 16): (name, flags) for name, (place, flags) in build["locks"].items()}
        for build_id, build in builds().items()
    }


def known_locks(build_id: Optional[str]) -> Mapping[int, Row]:
    """Offset from the image's start to (name, flags); empty for a build that is not in the table."""
    return _places().get(build_id or "", {})


def name_at(memory: Memory, runtime: RuntimeView, address: int) -> Optional[str]:
    """The static lock at an address; None where this build is not known, has none there, or memory does not agree."""
    if runtime.info is None:
        return None
    row = known_locks(runtime.info.build_id).get(address - runtime.info.base)
    if row is None:
        return None
    name, flags = row
    made = (crst_flags(memory, address, layout) for layout in runtime.layouts)
    agrees = any(word is not None and word & ~(CRST_INITIALIZED | CRST_OS_CRIT_SEC) == flags for word in made)
    return name if agrees else None
