"""Text that came from a dump, made harmless to show: no control characters, no direction tricks, no endless names.

A symbol, path or thread name is whatever the dumped process, or who wrote the file, wanted it to be. `clean` is the
first step of every renderer for people; it shows what it neutralises (`\\x1b`, `\\u202e`) instead of hiding it. JSON
needs none of it: its strings are written in ASCII with every such character escaped, and keep the exact value.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from typing import Any, Callable, Dict, Tuple, TypeVar

from dumpwalk import limits
from dumpwalk.core.visible import visible

T = TypeVar("T")
Change = Callable[[str, str], str]
"""(field name, value) -> value."""

_LONG_TOKEN = re.compile(r"\S{%d,}" % (limits.NAME_CHARACTERS + 1))

NAME_FIELDS = frozenset(
    ("name", "path", "module", "function", "process_name", "file", "build_id", "label", "title", "area", "version")
)
PROSE_CHARACTERS = 8 * limits.NAME_CHARACTERS
"""A sentence made of several names may be this long."""


def cut(text: str, characters: int) -> str:
    """At most that many characters; both ends stay, since the end of a path or symbol tells most."""
    if len(text) <= characters:
        return text
    tail = characters // 3
    return text[: characters - tail - 3] + "..." + text[len(text) - tail :]


def name(text: str) -> str:
    """One name: neutralised, and cut to limits.NAME_CHARACTERS."""
    return cut(visible(cut(text, 2 * limits.NAME_CHARACTERS)), limits.NAME_CHARACTERS)


def _clean_field(field: str, value: str) -> str:
    if field == "command" and "\n" in value:  # several lldb lines, by contract
        return "\n".join(_clean_field(field, line) for line in value.split("\n"))
    if len(value) <= limits.NAME_CHARACTERS:
        return visible(value)
    if field in NAME_FIELDS:
        return name(value)
    shorter = _LONG_TOKEN.sub(lambda m: cut(m.group(), limits.NAME_CHARACTERS), value)
    return cut(visible(shorter), PROSE_CHARACTERS)


def clean(report: T) -> T:
    """The report with every string harmless to print. Costs one look at each shared part."""
    return map_strings(report, _clean_field)


def map_strings(value: T, change: Change) -> T:
    """A copy of frozen dataclasses and tuples with every string changed; what stays the same is shared, not copied."""
    memo: Dict[Any, Any] = {}

    def changed_of(part: Any, field: str) -> Any:
        if part.__class__ is str:
            key: Tuple[Any, ...] = (field, part)
            found = memo.get(key)
            if found is None:
                found = memo[key] = change(field, part)
            return part if found == part else found  # the very object, so that its owner need not be copied
        if part is None or part.__class__ in (int, bool, float):
            return part
        key = (id(part), field)
        found = memo.get(key)
        if found is not None:
            return found
        memo[key] = found = compound(part, field)
        return found

    def compound(part: Any, field: str) -> Any:
        if isinstance(part, (tuple, list)):
            items = [changed_of(item, field) for item in part]
            same = all(new is old for new, old in zip(items, part))
            return part if same else type(part)(items)
        changed = {}
        for spec in dataclasses.fields(part):
            old = getattr(part, spec.name)
            new = changed_of(old, spec.name)
            if new is not old:
                changed[spec.name] = new
        return dataclasses.replace(part, **changed) if changed else part

    result: T = changed_of(value, "")
    return result


def display_width(text: str) -> int:
    """Columns of a terminal that the text takes: wide East Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
