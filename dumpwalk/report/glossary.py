"""Words of the runtime's own that a report uses: each is explained where it stands first, in prose of every format.

Nobody who writes a sentence of a report explains these words: a `Reader` does it, once in all that one reader reads from
top to bottom. Names of functions, types, fields and files are no words, nor is what stands in code, drawings and commands.
"""

from __future__ import annotations

import re
from typing import Dict, List, Set, Tuple

TERMS: Tuple[Tuple[str, str, str], ...] = (
    ("Crst", r"Crsts?", "a lock of the runtime itself"),
    ("PAL", r"PAL", "the runtime's own layer over the operating system"),
    ("pMT", r"pMT", "the address of a type's description"),
    ("method table", r"method tables?", "how the runtime describes a type in memory"),
    ("cooperative mode", r"cooperative mode", "a garbage collection has to wait until the thread leaves it"),
    ("preemptive mode", r"preemptive mode", "a garbage collection need not wait for the thread"),
    ("safe point", r"safe points?", "a place where a garbage collection may stop a thread"),
    ("ListLockEntry", r"ListLockEntry|list-lock-entry", "the runtime's record of a class initialiser under way"),
    ("sync block", r"sync[ -]blocks?(?: \d+)?", "the runtime's record of an object that is locked or waited for"),
    ("thin lock", r"thin locks?", "one that is kept in the object's own header"),
    ("futex", r"futex(?:\(2\)| wait\b| words?\b)?", "threads sleep in this system call until a word of memory changes"),
    (
        "dispatch cache",
        r"(?:interface-)?dispatch cache",
        "the runtime's table of which method a call through an interface runs",
    ),
    ("loader allocator", r"loader allocators?", "what owns the memory of assemblies that are unloaded together"),
    ("collectible", r"collectible", "able to be unloaded"),
    ("stub manager", r"stub managers?", "what makes and keeps the code of calls through interfaces"),
    ("R2R", r"R2R", "code compiled before the program ran"),
    ("MethodDesc", r"MethodDescs?", "the runtime's record of a method"),
    ("EEClass", r"EEClass", "the runtime's record of a class"),
    ("data contract", r"data contract", "the table in which the runtime says where its own fields are"),
    ("frame chain", r"frame chain", "the runtime's own list of the calls that leave managed code"),
    ("metadata token", r"metadata tokens?", "a method's number in its assembly"),
)
"""(word, pattern of its forms, what it is); none of the explanations uses another of the words."""
_WHAT = {f"t{number}": (word, what) for number, (word, _, what) in enumerate(TERMS)}
_BEFORE, _BEHIND = r"(?<![\w:.'`/~-])", r"(?:(?:'|&#39;)s)?(?!\w|::|[`/-])"
_TERM = f"{_BEFORE}(?:{'|'.join(f'(?P<t{n}>{form})' for n, (_, form, _) in enumerate(TERMS))}){_BEHIND}"
_PROSE = re.compile(_TERM)
_MARKDOWN = re.compile(
    r"(?P<skip>^(?P<fence>`{3,})[^\n]*\n.*?^(?P=fence)`*[ ]*$|(?P<ticks>`+)[^\n]*?(?P=ticks)|<code>.*?</code>|<[^>\n]*>)|"
    + _TERM,
    re.DOTALL | re.MULTILINE,
)
_HTML = re.compile(r"(?P<tag><(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*)[^>]*>)|" + _TERM)
_NO_PROSE = frozenset(("a", "button", "code", "pre", "script", "style", "svg", "title"))


class Reader:
    """Reads one report from its top; `told` holds the words that have been explained so far."""

    def __init__(self) -> None:
        self.told: Set[str] = set()

    def prose(self, text: str) -> str:
        """Plain text, with ` (what it is)` behind the first use of each word."""
        return _PROSE.sub(lambda found: self._explained(found, "{} ({})"), text)

    def markdown(self, text: str) -> str:
        """Markdown: code, fences and tags stay as they are."""
        return _MARKDOWN.sub(lambda f: f.group() if f["skip"] else self._explained(f, "{} ({})"), text)

    def html(self, text: str) -> str:
        """Markup that is well-formed: what links, code and drawings hold stays as it is."""
        depth = 0

        def replaced(found: re.Match[str]) -> str:
            nonlocal depth
            if found["tag"]:
                if found["name"].lower() in _NO_PROSE and not found["tag"].endswith("/>"):
                    depth += -1 if found["end"] else 1
                return found["tag"]
            if depth:
                return found.group()
            return self._explained(found, '<dfn>{}</dfn> <span class="gloss">({})</span>')

        return _HTML.sub(replaced, text)

    def left(self, text: str) -> List[Tuple[str, str]]:
        """(word, what it is) of those that plain text uses and that have not been explained, in the order of TERMS."""
        used: Dict[str, str] = {}
        for found in _PROSE.finditer(" ".join(text.split())):
            word, what = _of(found)
            if word not in self.told:
                used[word] = what
        return [(word, used[word]) for word, _, _ in TERMS if word in used]

    def _explained(self, found: re.Match[str], form: str) -> str:
        word, what = _of(found)
        if word in self.told:
            return found.group()
        self.told.add(word)
        return form.format(found.group(), what)


def _of(found: re.Match[str]) -> Tuple[str, str]:
    return next(told for group, told in _WHAT.items() if found[group])
