"""Which frames of a stack are worth telling in one line: the program's own methods, what they called, and the runtime's
functions that dumpwalk recognised. The framework's and the C library's frames between them are left out.
"""

from __future__ import annotations

from typing import Final, List, Sequence

from dumpwalk.coreclr.framework import is_framework
from dumpwalk.locks.lock_frames import LIBC_MODULES
from dumpwalk.report.model import Frame

METADATA: Final = "metadata"
_NATIVE = 1
"""Native functions with a symbol that are told before the managed ones."""
_FRAMEWORK = 3
"""Framework methods told of a stack without own code."""


def is_method(frame: Frame) -> bool:
    """A managed method with a name; a guess by stack scan does not count."""
    return frame.name_source == METADATA and frame.kind == "managed" and frame.trust != "scan"


def is_noted(frame: Frame) -> bool:
    """A P/Invoke by the runtime's note: no code of its own, and in a dump of the same stack it may be missing."""
    return frame.trust == "frame-chain" and frame.kind == "managed" and frame.offset is None


def is_own(frame: Frame) -> bool:
    """A method of the program itself."""
    return is_method(frame) and not is_noted(frame) and not is_framework(frame.module)


def telling(frames: Sequence[Frame]) -> List[Frame]:
    """The frames to name, innermost first; all of them for a stack without managed methods."""
    methods = [index for index, frame in enumerate(frames) if is_method(frame)]
    if not methods:
        return list(frames)
    first = methods[0]
    kept = _before(frames[:first])
    own = [index for index in methods if is_own(frames[index])]
    if not own:
        return kept + [frames[index] for index in (*methods[: _FRAMEWORK - 1], *methods[_FRAMEWORK - 1 :][-1:])]
    chosen = {*own, *(index - 1 for index in own if index - 1 in methods)}
    return kept + [frames[index] for index in sorted(chosen)]


def _before(frames: Sequence[Frame]) -> List[Frame]:
    """Of the native frames below the first method: those that dumpwalk named, and the innermost that is not libc's."""
    kept: List[Frame] = []
    symbols = 0
    for frame in frames:
        if not frame.function or frame.function in ("managed code", "stub"):
            continue
        if frame.name_source == "symbol":
            if symbols >= _NATIVE or (frame.module or "").startswith(LIBC_MODULES):
                continue
            symbols += 1
        elif frame.name_source != "inferred":
            continue
        kept.append(frame)
    return kept
