"""What the JSON holds for `dumpwalk compare`."""

from __future__ import annotations

from typing import Optional, Tuple

from dumpwalk.claims.words import Address
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class ThreadMark:
    """Digests that are equal in two looks at a thread that did not move between them."""

    thread: int
    registers: Optional[str]
    stack: Optional[str]
    switches: Optional[int] = None


@dataclass(frozen=True)
class Counter:
    """A number in the process's memory that only runs on."""

    name: str
    address: Address
    value: int


@dataclass(frozen=True)
class Movement:
    taken: Optional[str]
    taken_from: Optional[str]
    process_started: Optional[int]
    stopped_us: Optional[int]
    stops: Optional[int]
    marks: Tuple[ThreadMark, ...]
    counters: Tuple[Counter, ...]


MODEL = Movement
LINES = ("marks", "counters")
STOP = "the stop of the live process"
FILE_TIME = "the time of the core's file"
