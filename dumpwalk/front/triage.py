"""What the triage commands share: --store and --at, and how times are read."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Optional

from dumpwalk.errors import Usage
from dumpwalk.front.command import Option


def store_option() -> Option:
    return Option(
        "--store",
        "store",
        lldb=None,
        metavar="FILE|URL",
        help="The store: a file, or postgresql://user@host/database. Default: DUMPWALK_STORE, else a file of this user.",
    )


def at_option() -> Option:
    return Option(
        "--at", "at", lldb=None, metavar="TIME", help="The moment that windows end at (ISO 8601, UTC). Default: now."
    )


def moment(text: Optional[str], option: str = "--at") -> datetime:
    """Now without a text. Raises Usage."""
    from dumpwalk.triage.record import parse_time

    if text is None:
        return datetime.now(timezone.utc)
    try:
        return parse_time(text)
    except ValueError:
        raise Usage(f"{option} {text}: not a time; write it as 2026-11-24 or 2026-11-24T12:30Z.") from None
