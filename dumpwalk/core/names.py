"""Names by which things are known: of functions for identity, of counts and ranges in sentences.

`plain` is part of every lock finding's signature: two dumps of one bug agree only while it gives the same name. A nicer
way to show a function belongs in report/names.py.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Iterable, List, Optional

_OPERATOR = re.compile(
    r"operator(?:\s*(?:\(\)|\[\]|->\*?|<=>|<<=?|>>=?|[<>]=?|[-+*/%^&|~!=,]{1,2})|\s+[^(]+)(?![A-Za-z0-9_])"
)
_ABI_TAG = re.compile(r"\[abi:[^\]]*\]")
_SYMBOL_VERSION = re.compile(r"@@?[A-Z][A-Za-z]*_[\w.]+$")
_INLINE_NAMESPACE = re.compile(r"\bstd::(?:__1|__cxx11|__ndk1)::")
_WORD = re.compile(r"[^\W\d]\w*")
_TAIL = re.compile(
    r"\s*(?:\b(?:const|volatile|noexcept)|&&?|\[clone[^\]]*\]|\.(?:isra|part|constprop|cold|llvm)\b[.\w]*)\s*$"
)
_ANONYMOUS = "(anonymous namespace)"


@lru_cache(maxsize=10_000)
def plain(function: str) -> str:
    """A function's qualified name without arguments, template arguments and symbol version.

    `ns::T<U>::f(int) const` gives `ns::T::f`, Rust's `<a::T as b::Trait>::f` gives `a::T::f`, `read@GLIBC_2.2.5` gives `read`;
    what is no such name comes back as it is.
    """
    if function.startswith("<"):
        function = _of_rust(function)
    if "@" in function:
        function = _SYMBOL_VERSION.sub("", function)
    if "(" not in function and "<" not in function and "[abi:" not in function:
        return _INLINE_NAMESPACE.sub("std::", function)
    text = _ABI_TAG.sub("", _INLINE_NAMESPACE.sub("std::", function)).replace(_ANONYMOUS, "{anonymous}")
    while True:
        cut = _TAIL.sub("", text)
        if cut == text:
            break
        text = cut
    operators: List[str] = []

    def keep(match: re.Match[str]) -> str:
        operators.append(match.group().strip())
        return f"\x00{len(operators) - 1}\x00"

    text = _without_brackets(_OPERATOR.sub(keep, text))
    if not text:
        return function
    text = text.split(" ")[-1] if not text.startswith(("non-virtual thunk", "virtual thunk")) else text
    text = re.sub("\x00(\\d+)\x00", lambda m: operators[int(m.group(1))], text)
    return text.strip() or function


def _of_rust(function: str) -> str:
    """A method's type in front of it without its brackets and trait."""
    depth = 0
    for at, char in enumerate(function):
        depth += (char == "<") - (char == ">" and function[at - 1] != "-")
        if depth == 0:
            rest = function[at + 1 :]
            return function[1:at].split(" as ")[0] + rest if rest.startswith("::") else function
    return function


def _without_brackets(text: str) -> str:
    """The text outside (), <>; empty when they do not balance."""
    out: List[str] = []
    stack: List[str] = []
    for char in text:
        if char in "(<":
            stack.append(char)
        elif char in ")>":
            if not stack or stack.pop() != ("(" if char == ")" else "<"):
                return ""
        elif not stack:
            out.append(char)
    return "" if stack else "".join(out).strip()


def plural(count: int, noun: str, many: Optional[str] = None) -> str:
    """`1 thread`, `2 threads`, `10,000 threads`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def quoted(name: str) -> str:
    """`'budget'` of a name that would read as a word of the sentence; `Bank.Journal` and `DispatchCache::m_writeLock` do not."""
    return f"'{name}'" if _WORD.fullmatch(name) else name


def ranges(numbers: Iterable[int]) -> str:
    """`8-19 21-23` of 8..19 and 21..23."""
    parts: List[List[int]] = []
    for value in sorted(set(numbers)):
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def hexadecimal(value: Optional[int]) -> Optional[str]:
    """An address as the report writes it."""
    return None if value is None else f"0x{value:x}"
