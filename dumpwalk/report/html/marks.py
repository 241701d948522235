"""Words of the report as markup: inferred names, addresses, commands and threads told apart inside plain sentences."""

from __future__ import annotations

import re
from typing import Callable, List, Tuple

from markupsafe import Markup, escape

from dumpwalk.report.names import INFERRED_MARK, short

INFERRED_TITLE = "inferred from the code: there is no symbol"

_TOKENS = re.compile(
    r"(?P<address>\b0x[0-9a-f]{5,16}\b)"
    r"|(?P<command>(?<![\w`])`[a-z][^`]{1,120}`(?![\w`]))"
    r"|(?P<thread>\b[Tt]hread (?P<number>\d{1,7})\b)"
    r"|(?P<bucket>\b[Bb]ucket (?P<home>\d{1,7})\b)"
    r"|(?P<inferred>(?<![\w:~])[A-Za-z_][\w:@.$]*~(?![\w(]))"
)

Link = Callable[[str, int], str]
"""(thread or bucket, number) -> id of where it is shown, or an empty string."""


def named(text: str) -> Markup:
    """A name as the text report gives it; one with the mark for inferred names is set apart."""
    return inferred(text) if text.endswith(INFERRED_MARK) else escape(text)


def inferred(text: str) -> Markup:
    return Markup('<i class="inf" title="{}">{}</i>').format(INFERRED_TITLE, text)


def prose(text: str, link: Link) -> Markup:
    """A sentence, escaped; addresses and commands as code, threads and buckets as links to where they are shown."""
    out: List[Markup] = []
    at = 0
    for match in _TOKENS.finditer(text):
        out.append(escape(text[at : match.start()]))
        out.append(_token(match, link))
        at = match.end()
    out.append(escape(text[at:]))
    return Markup("").join(out)


def _token(match: re.Match[str], link: Link) -> Markup:
    text = match.group()
    if match.group("inferred"):
        return inferred(text)
    if match.group("address"):
        return Markup("<code>{}</code>").format(text)
    if match.group("command"):
        return Markup("<code>{}</code>").format(text[1:-1])
    kind, number = ("thread", "number") if match.group("thread") else ("bucket", "home")
    target = link(kind, int(match.group(number)))
    return Markup('<a class="ref" href="#{}">{}</a>').format(target, text) if target else escape(text)


def function_parts(function: str) -> Tuple[str, str, str]:
    """(before, name, after): the name that `short` gives, where it stands whole in the full signature."""
    name = short(function)
    at = function.find(name)
    if at < 0 or name == function:
        return ("", function, "")
    return (function[:at], name, function[at + len(name) :])
