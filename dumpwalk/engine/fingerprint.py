"""The fingerprint of a report: equal for two dumps that show one picture, so that hangs without a signature count too.

The picture is the set of places where threads wait: of each waiting thread the first frame that says something of the
program, by the rules of fingerprint.rules.txt. A managed method goes by its name, a native function by its name or else by
its image's build-id and its offset there. How many threads stand at a place does not count, nor do addresses and ids.

No identity, no fingerprint: where a waiting thread's frame has neither name nor build-id and offset, two pictures could not
be told apart.
"""

from __future__ import annotations

import hashlib
import pkgutil
import re
from functools import cache
from typing import Dict, List, NamedTuple, Optional, Pattern, Sequence, Set, Tuple

from dumpwalk.core.names import plain
from dumpwalk.report.model import Frame, Module, Thread
from dumpwalk.report.own_code import is_noted

VERSION = "1"
FILE = "fingerprint.rules.txt"
"""Beside this file."""
VERBS = ("leave-out", "ground", "pass")
FIELDS = ("function", "module", "role")
_DIGITS = 12
_NUMBERED = re.compile(r"![0-9a-f]{8}$")
"""`Some.dll!06000013`: a method whose metadata is not in the dump; the next build of that file gives it another number."""


class Rule(NamedTuple):
    verb: str
    field: str
    pattern: Pattern[str]


def parse(text: str) -> Tuple[Rule, ...]:
    """The rules of a file's text. Raises ValueError with the number of a line that is none."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(None, 2)
        if len(words) != 3 or words[0] not in VERBS or words[1] not in FIELDS:
            raise ValueError(f"line {number}: not VERB FIELD PATTERN")
        if words[1] == "role" and words[0] != "leave-out":
            raise ValueError(f"line {number}: a role is the thread's, it can only leave it out")
        try:
            found.append(Rule(words[0], words[1], re.compile(words[2].rstrip())))
        except re.error as error:
            raise ValueError(f"line {number}: {error}") from None
    return tuple(found)


@cache
def rules() -> Tuple[Rule, ...]:
    return parse((pkgutil.get_data(__package__, FILE) or b"").decode("utf-8"))


def fingerprint(threads: Sequence[Thread], modules: Sequence[Module]) -> Optional[str]:
    """Twelve hex digits; None where nobody is seen waiting in a place that has an identity, or one of the places has none."""
    places = picture(threads, modules)
    if not places:
        return None
    return hashlib.sha256("\n".join([VERSION, *places]).encode("utf-8", "replace")).hexdigest()[:_DIGITS]


def picture(threads: Sequence[Thread], modules: Sequence[Module]) -> Optional[List[str]]:
    """The places, sorted, each once; None where a place has no identity. Of threads that run where none waits."""
    builds = _builds(modules)
    for states in (("waiting",), ("running", "unknown")):
        places: Set[str] = set()
        seen: Set[Tuple[int, Optional[str]]] = set()
        for thread in threads:
            same = (id(thread.frames), thread.role)  # equal stacks are one object in a report
            if thread.state not in states or same in seen:
                continue
            seen.add(same)
            told, known = _place(thread, builds)
            if not known:
                return None
            if told is not None:
                places.add(told)
        if places:
            return sorted(places)
    return []


def _place(thread: Thread, builds: Dict[str, Optional[str]]) -> Tuple[Optional[str], bool]:
    """(where the thread waits or None, whether that could be told)."""
    if _verb("role", thread.role or "") == "leave-out":
        return None, True
    frames = [f for f in thread.frames if f.kind != "stub" and not is_noted(f)]
    managed = [f for f in frames if f.kind == "managed" and f.name_source == "metadata"]
    second: Optional[str] = None
    verbs = [_verb_of(frame) for frame in managed or frames]
    if "leave-out" in verbs:
        return None, True
    for frame, verb in zip(managed or frames, verbs):
        if verb == "ground":
            continue
        place = _identity(frame, builds)
        if verb is None:
            return place, place is not None
        second = second or place
    return second, True


def _identity(frame: Frame, builds: Dict[str, Optional[str]]) -> Optional[str]:
    name = _name(frame)
    if name is not None:
        return name
    build = builds.get(_base(frame.module))
    unnamed = not frame.function or frame.name_source == "none"
    return f"{build}+0x{frame.offset:x}" if unnamed and build and frame.offset is not None else None


def _name(frame: Frame) -> Optional[str]:
    """The function's; None for managed code that was only recognised as such, or is told by the number of its method."""
    if not frame.function or frame.name_source == "none":
        return None
    if frame.kind != "managed":
        return plain(frame.function)
    return None if frame.name_source == "inferred" or _NUMBERED.search(frame.function) else frame.function


def _verb_of(frame: Frame) -> Optional[str]:
    return _first(_name(frame) or "", _base(frame.module))


def _base(path: Optional[str]) -> str:
    return (path or "").rsplit("/", 1)[-1]


@cache
def _first(function: str, module: str) -> Optional[str]:
    values = {"function": function, "module": module}
    for rule in rules():
        if rule.field in values and values[rule.field] and rule.pattern.match(values[rule.field]):
            return rule.verb
    return None


def _verb(field: str, value: str) -> Optional[str]:
    return next((r.verb for r in rules() if r.field == field and value and r.pattern.match(value)), None)


def _builds(modules: Sequence[Module]) -> Dict[str, Optional[str]]:
    """Build-id by file name; none for a name that two images of different builds bear."""
    found: Dict[str, Optional[str]] = {}
    for module in modules:
        name = _base(module.path)
        found[name] = module.build_id if found.get(name, module.build_id) == module.build_id else None
    return found
