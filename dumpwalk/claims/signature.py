"""The signature of a hang: equal for two dumps of one bug, on Linux and macOS, with or without symbols.

It hashes a version of itself, the finding's kind and the parts that the detector gives: the class of the walker and the
lock's name; for lock findings the locks' names and the first own function above each wait, sorted. Never waiters, counts,
addresses, versions or systems.
"""

from __future__ import annotations

import hashlib
from typing import Sequence

SIGNATURE_VERSION = "1"


def signature(kind: str, parts: Sequence[str]) -> str:
    """Eight hex digits over the version, the kind and the parts in the order given."""
    text = "\n".join([SIGNATURE_VERSION, kind, *parts])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
