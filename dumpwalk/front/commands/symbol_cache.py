"""`dumpwalk symbol-cache`: see, trim and clear what `fetch` keeps."""

from __future__ import annotations

import re
import time
from typing import Optional

from dumpwalk.errors import Usage
from dumpwalk.front.command import Command, Option, Options, Place

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _run(place: Place, options: Options) -> int:
    from dumpwalk.binaries.cache import SymbolCache

    cache = SymbolCache()
    if options["path"]:
        place.say(cache.folder)
        return 0
    gone = None
    if options["clear"]:
        gone = cache.clear()
    elif options["trim"] is not None or options["older_than"] is not None:
        most = _bytes(options["trim"]) if options["trim"] is not None else 1 << 62
        gone = cache.trim(most, options["older_than"])
    if gone is not None:
        place.say(f"{_files(len(gone))} removed, {_size(sum(e.size for e in gone))}")
    left = cache.entries()
    if gone is None and options["list"]:
        for entry in left:
            used = time.strftime("%Y-%m-%d", time.localtime(entry.used))
            place.say(f"{_size(entry.size):>10}  {used}  {entry.key}")
    place.say(f"{_files(len(left))}, {_size(sum(e.size for e in left))}, in {cache.folder}")
    return 0


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise Usage(f"--trim {text}: not a size such as 500M or 2G.")
    return int(match.group(1)) * _UNITS[match.group(2).upper()]


def _size(count: Optional[int]) -> str:
    value = float(count or 0)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


COMMAND = Command(
    """The cache of fetched binaries and debug files: where it is, and how large; list, trim or clear it.

    DUMPWALK_SYMBOL_CACHE names another folder than the system's own place for caches.
    """,
    _run,
    parameters=(
        Option("--path", "path", lldb=None, is_flag=True, help="Print its folder alone."),
        Option("--list", "list", lldb=None, is_flag=True, help="List its files, the one used last first."),
        Option(
            "--trim", "trim", lldb=None, metavar="SIZE", help="Remove what was not used longest, until SIZE is left."
        ),
        Option(
            "--older-than",
            "older_than",
            lldb=None,
            metavar="DAYS",
            type=float,
            help="Remove what was not used for DAYS.",
        ),
        Option("--clear", "clear", lldb=None, is_flag=True, help="Remove everything."),
    ),
    examples=(
        ("dumpwalk symbol-cache --trim 2G", "keep the newest two gigabytes"),
        ("dumpwalk symbol-cache --clear", "begin afresh"),
    ),
    rank=310,
)
