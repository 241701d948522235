"""The signature of a hang: equal for two dumps of one bug, with or without symbols and module files.

It hashes a version of itself, the finding's kind and the parts that the detector gives: the class of the walker and the
lock's name; for lock findings what identifies each lock (detectors/signature.py). Never waiters, counts, addresses, versions
of the runtime or systems.
"""

from __future__ import annotations

import hashlib
from typing import Sequence

SIGNATURE_VERSION = "1"


def signature(kind: str, parts: Sequence[str]) -> str:
    """Eight hex digits over the version, the kind and the parts in the order given."""
    text = "\n".join([SIGNATURE_VERSION, kind, *parts])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
