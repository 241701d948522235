"""Sections of the report, a folder each, named as its key in the JSON; report/section.py says what is in one.

Here is what the data of them all needs; it imports their models and words alone.
"""

from __future__ import annotations

from functools import cache
from typing import Dict, FrozenSet

from dumpwalk.core.parts import faces

HOME = "dumpwalk.report.sections"


@cache
def models() -> Dict[str, type]:
    """JSON key to the class of its value, of the sections that bring a class of their own."""
    found: Dict[str, type] = faces(HOME, "model", "MODEL")
    return found


@cache
def one_a_line() -> FrozenSet[str]:
    """Keys of lists whose elements stand one a line in the JSON."""
    return frozenset(key for keys in faces(HOME, "model", "LINES").values() for key in keys)


def words() -> Dict[str, str]:
    """What each key of their JSON means: `Class.key` to a phrase."""
    return {key: phrase for section in faces(HOME, "words", "WORDS").values() for key, phrase in section.items()}
