"""The fingerprint of a report: equal for two dumps that show one picture, so that hangs without a signature count too.

The picture is the set of places where threads wait: of each waiting thread what first says something of the program, by the
rules of fingerprint.rules.txt. In managed code that is a method, by its assembly and its name, which the dump's own metadata
tells. In native code it is the first calls in one image, by its build-id and their offsets there: names depend on
the files at hand, and every program has a `main`. How many threads stand at a place does not count, nor do addresses and ids.

No identity, no fingerprint: where a waiting thread's frame has neither, two pictures could not be told apart.
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

VERSION = "2"
FILE = "fingerprint.rules.txt"
"""Beside this file."""
VERBS = ("leave-out", "ground", "pass")
FIELDS = ("function", "module", "role")
_DIGITS = 12
CALLS = 3
"""Native calls that make a place. The innermost alone is often a lock function that was linked into the program."""
_NUMBERED = re.compile(r"![0-9a-f]{8}$")
"""`Some.dll!06000013`: a method whose metadata is not in the dump; the next build of that file gives it another number."""


Images = Dict[str, List[Tuple[int, Optional[str]]]]


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
    images = _images(modules)
    for states in (("waiting",), ("running", "unknown")):
        places: Set[str] = set()
        seen: Set[Tuple[int, Optional[str]]] = set()
        for thread in threads:
            same = (id(thread.frames), thread.role)  # equal stacks are one object in a report
            if thread.state not in states or same in seen:
                continue
            seen.add(same)
            told, known = _place(thread, images)
            if not known:
                return None
            if told is not None:
                places.add(told)
        if places:
            return sorted(places)
    return []


def _place(thread: Thread, images: Images) -> Tuple[Optional[str], bool]:
    """(where the thread waits or None, whether that could be told)."""
    if _verb("role", thread.role or "") == "leave-out":
        return None, True
    frames = [f for f in thread.frames if f.kind != "stub" and not is_noted(f)]
    managed = [f for f in frames if f.kind == "managed" and f.name_source == "metadata"]
    return _managed(managed) if managed else _native(frames, thread.state == "waiting", images)


def _managed(frames: Sequence[Frame]) -> Tuple[Optional[str], bool]:
    second: Optional[str] = None
    verbs = [_first(_name(frame) or "", _base(frame.module)) for frame in frames]
    if "leave-out" in verbs:
        return None, True
    for frame, verb in zip(frames, verbs):
        if verb == "ground":
            continue
        name = _name(frame)
        place = None if name is None else f"{_base(frame.module)}!{name}"
        if verb is None:
            return place, place is not None
        second = second or place
    return second, True


def _native(frames: Sequence[Frame], waits: bool, images: Images) -> Tuple[Optional[str], bool]:
    """The first calls outside of the ground that lie together. The innermost pc of a thread that runs is another in each
    dump: its callers are the place. A stack that ends too early has no identity: with the files at hand it would go on."""
    calls: List[str] = []
    whole = len(frames) > 1
    for number, frame in enumerate(frames):
        if (number == 0 and not waits) or (frame.module and _first("", _base(frame.module)) == "ground"):
            if calls:
                break
            continue
        call = _identity(frame, images)
        if call is None:
            return None, False
        if call not in calls:  # an inlined function has its caller's pc, where the debugger shows it at all
            calls.append(call)
        if len(calls) == CALLS:
            break
    else:
        whole = whole and not (calls and waits)  # one that runs is in the middle of something, whatever lies below
    return " < ".join(calls) or None, whole


def _identity(frame: Frame, images: Images) -> Optional[str]:
    """`build-id+0xoffset` of a frame's pc in its image."""
    pc = int(frame.pc, 16)
    below = [(base, build) for base, build in images.get(_base(frame.module), ()) if base <= pc]
    if not below or frame.trust == "scan":
        return None
    base, build = max(below, key=lambda image: image[0])
    return f"{build}+0x{pc - base:x}" if build else None


def _name(frame: Frame) -> Optional[str]:
    """The function's; None for managed code that was only recognised as such, or is told by the number of its method."""
    if not frame.function or frame.name_source == "none":
        return None
    if frame.kind != "managed":
        return plain(frame.function)
    return None if frame.name_source == "inferred" or _NUMBERED.search(frame.function) else frame.function


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


def _images(modules: Sequence[Module]) -> Images:
    """(base, build-id) of the images of each file name."""
    found: Dict[str, List[Tuple[int, Optional[str]]]] = {}
    for module in modules:
        if module.base is not None:
            found.setdefault(_base(module.path), []).append((int(module.base, 16), module.build_id))
    return found
