"""What dumps are called."""

from __future__ import annotations

import re

_DUMP = re.compile(
    r"(^|/)core$|((^|/)core(dump)?(\.[^/]*)?\.[0-9]+|\.(dmp|core|mdmp))(\.(gz|bz2|xz|zip|zst))?$", re.IGNORECASE
)
"""dotnet/runtime eng/testing/debug-dump-template.md: core.PID, core.UID.PID, *_hangdump.dmp, *.core; createdump's own
coredump.PID (createdump.h); core(5): core, core.NAME.PID."""


def is_dump(name: str) -> bool:
    """By its name alone: what is in it may be something else."""
    return bool(_DUMP.search(name))
