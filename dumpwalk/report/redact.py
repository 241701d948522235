"""Visible redaction: user names, home folders and host names become `<redacted:user>` and the like in every string.

What is redacted, and nothing else: the name after /home/, /Users/, C:\\Users\\ and the like (the folders below it
stay), root's home, macOS' per-user temporary folder, user@host, the host of a UNC path; this machine's user name where
it is a folder, its host name and what the caller names wherever they stand as a word. Names of processes, modules and
functions stay: without them there is no report.
"""

from __future__ import annotations

import getpass
import re
import socket
from dataclasses import replace
from typing import Any, Iterable, List, Pattern, Tuple, TypeVar, cast

from dumpwalk.report.escape import map_strings
from dumpwalk.report.model import FailedCore, Report

Entry = TypeVar("Entry", Report, FailedCore)

USER, HOME, HOST = "<redacted:user>", "<redacted:home>", "<redacted:host>"
_NAME = r"(?:[A-Z][\w.-]*(?: [A-Z][\w.-]*){1,3}(?=[/\\])|[^/\\\s:\"'<>|]+)"
"""Up to the next separator; with blanks in it only where it looks like `First Last` and a separator follows."""
_RULES: Tuple[Tuple[Pattern[str], str], ...] = (
    (re.compile(rf"(/(?i:home|users)/)(?!Shared\b){_NAME}"), rf"\1{USER}"),
    (re.compile(rf"(\b[A-Za-z]:[\\/]+(?i:Users|Documents and Settings)[\\/]+)(?!(?:Public|Default)\b){_NAME}"),
     rf"\1{USER}"),
    (re.compile(r"(?:^|(?<=[^\w./-]))/(?:var/)?root(?=/|$|[\s\"':,;)])"), HOME),
    (re.compile(r"(/var/folders/)[^/\s<]+/[^/\s]+"), rf"\1{USER}"),
    (re.compile(r"(?:^|(?<=[\s\"'=(]))(\\\\|//)[A-Za-z0-9][\w.-]*(?=[\\/])"), rf"\1{HOST}"),
)  # fmt: skip
_USER_AT_HOST = re.compile(
    r"(?<![\w@.+/-])[A-Za-z_][\w.-]*@(?!plt\b|GLIBC|GCC|CXXABI|LLVM)[A-Za-z][\w-]*(?:\.[A-Za-z][\w-]*)*(?![\w@])"
)
_SYMBOLS = frozenset(("function", "command", "repro"))
"""Fields in which an @ belongs to a symbol's version."""
_CODES = frozenset(
    ("status", "kind", "grade", "trust", "format", "arch", "os", "tid_source", "name_source", "walked", "match", "id",
     "confidence", "signature", "state", "mode", "role")
)  # fmt: skip
"""Fields that hold one of the report's own words."""
_TOO_COMMON = frozenset(("localhost", "localdomain", "root", "dotnet", "lldb", "linux", "darwin"))


def _telling(name: str) -> bool:
    return len(name) >= 3 and name.lower() not in _TOO_COMMON


def this_host() -> List[str]:
    """This machine's name, whole and without its domain: a report made where the dump was made shows it."""
    try:
        name = socket.gethostname()
    except OSError:
        return []
    return [part for part in dict.fromkeys((name, name.split(".")[0])) if _telling(part)]


def this_user() -> List[str]:
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        return []
    return [name] if _telling(name) else []


def _word(name: str) -> Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.IGNORECASE)


def _folder(name: str) -> Pattern[str]:
    return re.compile(rf"(?<=[/\\]){re.escape(name)}(?=[/\\]|$)")


def redact(report: Entry, hosts: Iterable[str] = (), users: Iterable[str] = ()) -> Entry:
    """The report (or the entry of a core that failed) with marks in place of names, and a report's `redacted` set.

    `hosts` and `users` are redacted as words too.
    """
    words = [(name, HOST) for name in (*hosts, *this_host()) if name] + [(name, USER) for name in users if name]
    words.sort(key=lambda item: (-len(item[0]), item[0]))
    patterns = [(_word(name), mark) for name, mark in dict.fromkeys(words)]
    patterns += [(_folder(name), USER) for name in this_user()]

    def change(field: str, value: str) -> str:
        if field in _CODES:
            return value
        for pattern, mark in _RULES:
            value = pattern.sub(mark, value)
        if field not in _SYMBOLS and "@" in value:
            value = _USER_AT_HOST.sub(f"{USER}@{HOST}", value)
        for pattern, mark in patterns:
            value = pattern.sub(mark, value)
        return value

    changed: Any = map_strings(report, change)
    if isinstance(changed, Report):
        changed = replace(changed, redacted=True)
    return cast(Entry, changed)
