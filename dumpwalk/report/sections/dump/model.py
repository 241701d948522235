"""What the JSON holds of the dump, the runtime and the tool."""

from __future__ import annotations

from typing import Literal, Optional, Tuple

from dumpwalk.claims.words import Address
from dumpwalk.core.vocabulary import ArchName, DumpKind, Format, Os, Producer
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Tool:
    name: str
    version: str
    lldb: Optional[str] = None
    """Version of the lldb that gave the stacks; None when the report was made without one."""


@dataclass(frozen=True)
class Crash:
    tid: Optional[int]
    thread: Optional[int]
    signal: Optional[int]
    signal_name: Optional[str]
    detail: str


@dataclass(frozen=True)
class EvidenceCore:
    """That the dump is an evidence core, and of what it was made."""

    tool: Optional[str]
    source: str
    size_bytes: Optional[int]
    captured_bytes: Optional[int]
    kept_bytes: Optional[int]
    stack_bytes: int
    redacted: bool
    changed: Optional[bool]


@dataclass(frozen=True)
class Dump:
    path: str
    sha256: Optional[str]
    size_bytes: Optional[int]
    format: Literal[Format, "live", "unknown"]
    arch: ArchName
    os: Os
    pid: Optional[int]
    producer: Producer
    kind: DumpKind
    truncated: bool
    process_name: Optional[str] = None
    crash: Optional[Crash] = None
    notes: Tuple[str, ...] = ()
    evidence: Optional[EvidenceCore] = None


@dataclass(frozen=True)
class Runtime:
    name: str
    version: Optional[str]
    module: Optional[str]
    build_id: Optional[str]
    base: Optional[Address]
    located_by: str
    flavour: Optional[str] = None
    """shared (libcoreclr beside the app) or single-file."""
    layout: Optional[str] = None
    """Name of the layout row in use and how it was confirmed, or `unknown layout`."""
    version_source: Optional[str] = None
    facts: Tuple[str, ...] = ()
    """Observations about the image itself, such as whether its assembly stubs are where an intact link puts them."""
    other_build: Optional[str] = None
