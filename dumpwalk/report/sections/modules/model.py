"""What the JSON holds of modules."""

from __future__ import annotations

from typing import Optional

from dumpwalk.claims.words import Address
from dumpwalk.core.vocabulary import MatchStatus
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Module:
    path: str
    build_id: Optional[str]
    base: Optional[Address]
    file: Optional[str]
    match: MatchStatus
    """matched, mismatched, missing or unverified."""
    fetch: Optional[str] = None
    """For a missing or mismatched one: the command that fetches it from a symbol server."""
    other_file: Optional[str] = None
