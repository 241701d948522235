"""Commands that a report names, as they are typed in an lldb session: there the core is the target, and no argument. What a
session does not have is a command of the shell, which lldb runs by `shell`."""

from __future__ import annotations

import re
from functools import cache
from typing import Pattern, Tuple

from dumpwalk.front import commands

_ELSEWHERE = ("--fetch", "--pid", "--server")
"""Options that a session does not have."""
_LINE = re.compile(
    r"^(?P<indent> +)(?P<command>dumpwalk (?P<name>[a-z][\w-]*)\b.*|gcore -o .*|(?:'[^'\n]*|\S*)createdump'? --withheap .*)$",
    re.MULTILINE,
)
"""A command that stands on a line of its own, for a session or for the shell."""


@cache
def _patterns() -> Tuple[Pattern[str], Pattern[str]]:
    names = "|".join(re.escape(name) for name, told in commands.table().items() if told.in_lldb)
    command = rf"(dumpwalk (?:{names})(?: (?!CORE\b)[^`\n]*?)?)"
    line = rf"^(\s+dumpwalk (?:{names})(?: --?[\w-]+)*) (?:'[^'\n]*'|[^\s'-]\S*)((?: -m FOLDER)?)$"
    return re.compile(rf"`{command} CORE\b([^`\n]*)`"), re.compile(line, re.MULTILINE)


def in_session(text: str, core: str) -> str:
    """The same text without CORE in `dumpwalk threads CORE`, and without the core's path in lines that are one command."""
    sentence, line = _patterns()
    text = sentence.sub(lambda m: m.group(0) if _elsewhere(m.group(0)) else f"`{m.group(1)}{m.group(2)}`", text)

    def shorter(match: re.Match[str]) -> str:
        whole = match.group(0)
        return match.group(1) + match.group(2) if core in whole and not _elsewhere(whole) else whole

    def in_shell(match: re.Match[str]) -> str:
        known = commands.table().get(match["name"] or "")
        here = known is not None and known.in_lldb and not _elsewhere(match["command"])
        return match.group(0) if here else f"{match['indent']}shell {match['command']}"

    return _LINE.sub(in_shell, line.sub(shorter, text))


def _elsewhere(command: str) -> bool:
    return any(option in command.split() for option in _ELSEWHERE)
