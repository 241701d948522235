"""An evidence core that somebody wants."""

from __future__ import annotations

from typing import NamedTuple


class Wanted(NamedTuple):
    """Plain data: it goes to a child process."""

    path: str
    """A file that is not there yet."""
    compressed: bool
    redacted: bool
