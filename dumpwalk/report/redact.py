"""Visible redaction: user names, home folders and host names become `<redacted:user>` and the like in every string.

What is redacted: the name after /home/, /Users/, C:\\Users\\ and the like (the folders below it stay), root's home, macOS'
per-user temporary folder, user@host, the host of a UNC path; and as words wherever they stand, in other paths, names of
threads and the dump's own name too: each user and host that any of these gives away (private_names.py), this machine's user
and host, and what the caller names. Names of processes, modules and functions stay: without them there is no report.
"""

from __future__ import annotations

import getpass
import re
import socket
from dataclasses import replace
from typing import Any, Callable, Iterable, List, Pattern, Sequence, Tuple, TypeVar, cast

from dumpwalk.report import private_names
from dumpwalk.report.escape import map_strings
from dumpwalk.report.model import Entry, FailedCore, Report
from dumpwalk.report.private_names import HOMES, SHARE_HOST, SYMBOLS, USER_AT_HOST, telling

Either = TypeVar("Either", Report, FailedCore)

USER, HOME, HOST = "<redacted:user>", "<redacted:home>", "<redacted:host>"
_RULES: Tuple[Tuple[Pattern[str], str], ...] = (
    *((pattern, rf"\1{USER}") for pattern in HOMES),
    (re.compile(r"(?:^|(?<=[^\w./-]))/(?:var/)?root(?=/|$|[\s\"':,;)])"), HOME),
    (re.compile(r"(/var/folders/)[^/\s<]+/[^/\s]+"), rf"\1{USER}"),
    (SHARE_HOST, rf"\1{HOST}"),
)
_CODES = frozenset(
    ("status", "kind", "grade", "trust", "unwinder", "format", "arch", "os", "tid_source", "name_source", "walked", "match", "id",
     "confidence", "signature", "state", "mode", "role")
)  # fmt: skip
"""Fields that hold one of the report's own words."""


def this_host() -> List[str]:
    """This machine's name, whole and without its domain: a report made where the dump was made shows it."""
    try:
        name = socket.gethostname()
    except OSError:
        return []
    return [part for part in dict.fromkeys((name, name.split(".")[0])) if telling(part)]


def this_user() -> List[str]:
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        return []
    return [name] if telling(name) else []


def _word(name: str) -> Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.IGNORECASE)


def redact_all(entries: Sequence[Entry]) -> List[Entry]:
    """Each with marks; what one of them gives away is redacted in all."""
    users, hosts = private_names.names_in(entries)
    return [redact(e, hosts, users) if isinstance(e, Report) else redact(e, hosts, users) for e in entries]


def redact(report: Either, hosts: Iterable[str] = (), users: Iterable[str] = ()) -> Either:
    """The report (or the entry of a core that failed) with marks in place of names, and a report's `redacted` set.

    `hosts` and `users` are redacted as words too.
    """
    found: Tuple[List[str], List[str]] = private_names.names_in([report])
    words = [(name, HOST) for name in (*hosts, *this_host(), *found[1]) if name]
    words += [(name, USER) for name in (*users, *this_user(), *found[0]) if name]
    words.sort(key=lambda item: (-len(item[0]), item[0]))
    patterns = [(_word(name), mark) for name, mark in dict.fromkeys(words)]

    def change(field: str, value: str) -> str:
        if field in _CODES:
            return value
        for pattern, mark in _RULES:
            value = pattern.sub(mark, value)
        if field not in SYMBOLS and "@" in value:
            value = USER_AT_HOST.sub(f"{USER}@{HOST}", value)
        if field == "function":
            return value  # a namespace may be called as its author is
        for pattern, mark in patterns:
            value = pattern.sub(mark, value)
        return value

    changed: Any = map_strings(report, change)
    if isinstance(changed, Report):
        changed = replace(changed, redacted=True)
    return cast(Either, changed)


def of_words(given: Sequence[str]) -> Callable[[str], str]:
    """Redacts one sentence: its own names, this machine's, and those that these words (a command's arguments) give away."""
    users, hosts = private_names.names_in([FailedCore(word, "", 1) for word in given])

    def change(line: str) -> str:
        return redact(FailedCore("", line, 1), hosts, users).error

    return change
