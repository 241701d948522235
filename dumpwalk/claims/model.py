"""Finding, Evidence, Actor, Coverage and Verdict: what is claimed, with the proof beside it, as frozen dataclasses."""

from __future__ import annotations

from typing import Optional, Tuple

from dumpwalk.claims.words import Address, Extent, Grade, Role, Status
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Evidence:
    what: str
    address: Optional[Address]
    value: Optional[str]
    how: str
    grade: Grade = "proved"
    command: Optional[str] = None
    """The lldb line that shows it."""
    shows: Optional[str] = None
    """Text that stands in that command's output when the claim holds."""


@dataclass(frozen=True)
class Actor:
    thread: int
    role: Role


@dataclass(frozen=True)
class Finding:
    id: str
    kind: str
    confidence: Grade
    title: str
    observed: Tuple[str, ...]
    therefore: Tuple[str, ...]
    consistent_with: Tuple[str, ...]
    not_established: Tuple[str, ...]
    evidence: Tuple[Evidence, ...]
    repro: Tuple[str, ...]
    status: Status = "none"
    """The verdict status that this finding can give."""
    summary: Tuple[str, ...] = ()
    """The answer in a few plain sentences, the first paragraph of every report."""
    actors: Tuple[Actor, ...] = ()
    locks: Tuple[str, ...] = ()
    buckets: Tuple[int, ...] = ()
    signature: Optional[str] = None
    sentence: Optional[str] = None
    """The sentence of the verdict line, should this finding decide: no count, address, id, path or host in it."""
    signature_parts: Tuple[str, ...] = ()
    """What the signature hashes beside its version and the kind."""


@dataclass(frozen=True)
class Coverage:
    area: str
    status: Extent
    why: str


@dataclass(frozen=True)
class Verdict:
    status: Status
    kind: str
    sentence: str
    """The sentence of the verdict line: no count, address, id, path or host in it."""
    signature: Optional[str]
    line: str
    exit_code: int
    headline: str
    """The answer in plain words, for people: counts and names allowed."""
    finding: Optional[str] = None
    """Id of the finding that decided; None where none did."""
    fingerprint: Optional[str] = None
    """Equal for two dumps that show one picture (engine/fingerprint.py), with a signature or without."""
    known: Optional[str] = None
    """What a store of reports knows of it: a sentence, where one was asked (--store)."""
