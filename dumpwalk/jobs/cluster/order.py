"""What a worker is asked to do, as plain data, and how it tells whether it sees the same files as the batch does."""

from __future__ import annotations

import hashlib
import os
from typing import Iterator, List, NamedTuple, Tuple

from dumpwalk import limits

Entry = Tuple[str, int, int]
"""Path below the offered one (empty where that is a file), bytes, time of change in nanoseconds."""


class Offer(NamedTuple):
    """A file or folder on the batch's machine."""

    path: str
    """Absolute."""
    digest: str
    """Of its entries; empty where it is not sent."""
    too_many: bool = False
    """It has more files than are sent."""


class Order(NamedTuple):
    path: str
    """As the person named it."""
    core: Offer
    modules: Tuple[Offer, ...]
    sha256: bool
    timeout: float
    supply: str
    """Address of the batch, where what is not here can be fetched."""
    version: str
    """Of the dumpwalk that runs the batch."""


class Answer(NamedTuple):
    """What a worker gives back: the wire of jobs.isolation, or why this worker is not fit for the core."""

    wire: dict
    unfit: str = ""


class TooMany(Exception):
    """More files than are sent."""


def offer_of(path: str) -> Offer:
    """Raises OSError only where `path` itself cannot be read."""
    try:
        return Offer(path, digest_of(entries(path)))
    except TooMany:
        return Offer(path, "", too_many=True)


def entries(path: str) -> List[Entry]:
    """The file, or every file below the folder. Raises OSError, TooMany."""
    state = os.stat(path)
    if not os.path.isdir(path):
        return [("", state.st_size, state.st_mtime_ns)]
    found: List[Entry] = []
    for entry in _below(path):
        found.append(entry)
        if len(found) > limits.FETCHED_FILES:
            raise TooMany
    return sorted(found)


def _below(folder: str) -> Iterator[Entry]:
    for here, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(here, name)
            try:
                state = os.stat(path)
            except OSError:
                continue  # a link to nothing
            yield os.path.relpath(path, folder), state.st_size, state.st_mtime_ns


def digest_of(found: List[Entry]) -> str:
    words = "\n".join(f"{name}\0{size}\0{changed}" for name, size, changed in found)
    return hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()
