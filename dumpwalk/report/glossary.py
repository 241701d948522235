"""Words of the runtime's own that a report uses, explained where one stands in it."""

from __future__ import annotations

import re
from typing import List, Tuple

TERMS: Tuple[Tuple[str, str], ...] = (
    ("PAL", "the runtime's own layer over the operating system"),
    ("Crst", "a lock of the runtime itself"),
    ("pMT", "the address of an object's type (its method table)"),
    ("cooperative mode", "the thread runs managed code, and a garbage collection has to wait until it stops"),
    ("preemptive mode", "the thread is outside managed code, and a garbage collection need not wait for it"),
    ("ListLockEntry", "the runtime's record of a class initialiser under way"),
    ("sync block", "what the runtime keeps of an object that is locked and waited for"),
    ("futex", "the system call in which threads sleep until a word of memory changes"),
)
"""(word, what it is)"""
_FOUND = tuple((re.compile(rf"(?<![\w:.]){re.escape(word)}(?![\w:])"), word, what) for word, what in TERMS)


def used(text: str) -> List[Tuple[str, str]]:
    """Those that stand in the text as words of their own, and that it does not explain itself."""
    text = " ".join(text.split())
    return [(word, what) for pattern, word, what in _FOUND if pattern.search(text) and f"{word} ({what})" not in text]
