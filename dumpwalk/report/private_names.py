"""Names of people and machines that a report itself gives away: once known, they are looked for everywhere in it.

A user is known from a home folder in any path and from user@host, a host from user@host, from a UNC path, and from the
name of the dump where that has the form that the kernel writes (`core.PROGRAM.HOST.PID`, core(5): %e, %h, %p, %t).
"""

from __future__ import annotations

import re
from typing import Iterable, List, Pattern, Set, Tuple

from dumpwalk.report.escape import map_strings
from dumpwalk.report.model import Entry, Report

NAME = r"(?:[A-Z][\w.-]*(?: [A-Z][\w.-]*){1,3}(?=[/\\])|[^/\\\s:\"'<>|]+)"
"""Up to the next separator; with blanks in it only where it looks like `First Last` and a separator follows."""
HOMES: Tuple[Pattern[str], ...] = (
    re.compile(rf"(/(?i:home|users)/)(?!Shared\b)({NAME})"),
    re.compile(rf"(\b[A-Za-z]:[\\/]+(?i:Users|Documents and Settings)[\\/]+)(?!(?:Public|Default)\b)({NAME})"),
)
USER_AT_HOST = re.compile(
    r"(?<![\w@.+/-])([A-Za-z_][\w.-]*)@((?!plt\b|GLIBC|GCC|CXXABI|LLVM)[A-Za-z][\w-]*(?:\.[A-Za-z][\w-]*)*)(?![\w@])"
)
SHARE_HOST = re.compile(r"(?:^|(?<=[\s\"'=(]))(\\\\|//)([A-Za-z0-9][\w.-]*)(?=[\\/])")
SYMBOLS = frozenset(("function", "command", "repro"))
"""Fields in which an @ belongs to a symbol's version."""

_NOBODY_TEXT = """
localhost localdomain root dotnet lldb linux darwin user users test tests build builder runner agent app apps admin ci
jenkins vsts vagrant ubuntu debian fedora centos azureuser docker node helix helixbot codespace vscode www web data
work src code public default shared guest service server client worker main thread core dump lock hang none git lib
bin opt system windows program process common local
"""
_NOBODY = frozenset(_NOBODY_TEXT.split())
"""Accounts and hosts of these names are nobody's, and the words mean other things elsewhere."""

_DUMP_WORDS_TEXT = """
core cores coredump dump minidump fulldump heapdump crash crashdump hang hangdump dmp gz xz bz2 zst zip lz4 mini full
heap triage linux osx macos darwin win x64 x86 arm64 aarch64 amd64 musl dotnet testhost small copy old new
"""
_DUMP_WORDS = frozenset(_DUMP_WORDS_TEXT.split())
_SEPARATED = (".", "-", "_")
_SEPARATORS = re.compile(r"[._\-\s]+")
_NUMBER = re.compile(r"\d+|[0-9a-fA-F]{16,}|\d{8}[Tt]\d{4,6}|[vV]?\d+[a-z]?|net\d+")


def telling(name: str) -> bool:
    """The name is one of a person or machine as far as can be told, and no word of the language."""
    return len(name) >= 3 and name.lower() not in _NOBODY and not name.isdigit()


def names_in(entries: Iterable[Entry]) -> Tuple[List[str], List[str]]:
    """(users, hosts) that the reports give away, sorted."""
    users: Set[str] = set()
    hosts: Set[str] = set()

    def look(field: str, value: str) -> str:
        if "/" in value or "\\" in value:
            for pattern in HOMES:
                users.update(match.group(2).strip() for match in pattern.finditer(value))
            hosts.update(match.group(2) for match in SHARE_HOST.finditer(value))
        if "@" in value and field not in SYMBOLS:
            for match in USER_AT_HOST.finditer(value):
                users.add(match.group(1))
                hosts.add(match.group(2))
        return value

    for entry in entries:
        map_strings(entry, look)
        hosts.update(hosts_of_dump(entry))
    return sorted(filter(telling, users)), sorted(filter(telling, hosts))


def hosts_of_dump(entry: Entry) -> List[str]:
    """What in a dump's name is neither a number, nor a word for dumps, nor a program of the process: where the name begins
    with `core`, as the kernel's do, and has a number in it, it is the host's."""
    if isinstance(entry, Report):
        path, programs = entry.dump.path, {_stem(module.path) for module in entry.modules}
    else:
        path, programs = entry.path, set()
    base = path.replace("\\", "/").rsplit("/", 1)[-1]
    parts = base.split(base[4])[1:] if base.lower().startswith("core") and base[4:5] in _SEPARATED else []
    if not any(part.isdigit() for part in parts):
        return []
    return [part for part in parts if part and not _known(part, programs)]


def _known(part: str, programs: Set[str]) -> bool:
    if any(stem.startswith(part.lower()) or part.lower().startswith(stem + ".") for stem in programs):
        return True
    return all(
        word.lower() in _DUMP_WORDS or word.lower() in programs or _NUMBER.fullmatch(word)
        for word in _SEPARATORS.split(part)
        if word
    )


def _stem(path: str) -> str:
    name = path.replace("\\", "/").rsplit("/", 1)[-1].lower()
    return name[: -len(".dll")] if name.endswith(".dll") else name
