"""What the runtime's frame chain adds to unwound stacks: the P/Invoke between a method and native code, as a frame of its
own, and the method that a function of the runtime implements, as that frame's name.

Both are believed only where the unwound stack agrees: the caller's frame has the noted stack pointer, and its code begins
where the noted return address's method does; the function that a method called begins at the noted entry point.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from dumpwalk.core.process import Frame, Module, Process, Thread
from dumpwalk.coreclr.frame_chain import Call, FCall
from dumpwalk.coreclr.managed import ManagedView

_UNWOUND = ("context", "cfi", "unwind-info")


def name_by_chain(process: Process, view: ManagedView, threads: Optional[Sequence[Thread]] = None) -> Dict[str, int]:
    """Put them on the stacks, in place, of all threads or of these, after managed frames were named.

    Returns how the lists of threads that have one ended, and how many did so (frame_chain.py).
    """
    ends: Dict[str, int] = {}
    for thread in process.threads if threads is None else threads:
        if not thread.unwound:
            continue
        chain = view.frame_chains.of(thread)
        ends[chain.end] = ends.get(chain.end, 0) + 1
        frames = list(thread.frames())
        changed = [_name(frames, fcall, view) for fcall in chain.fcalls]
        for call in chain.calls:
            at = _caller(frames, call) if call.target is not None else None
            if at is not None:
                frames.insert(at, _frame(frames[at], call))
                changed.append(True)
        if any(changed):
            thread.tell_frames(frame.moved(index) for index, frame in enumerate(frames))
    return ends


def _name(frames: List[Frame], fcall: FCall, view: ManagedView) -> bool:
    """The function is called by a method: it is the last before the first method above the noted frame. Was it named?"""
    caller = next((i for i, f in enumerate(frames) if f.managed and f.sp is not None and f.sp > fcall.frame), 0)
    frame = frames[caller - 1] if caller else None
    if frame is None or frame.managed or frame.offset is None or frame.pc - frame.offset != fcall.entry:
        return False
    if frame.name_source == "none" and frame.trust in _UNWOUND:
        method = view.fcalls.method(fcall.entry)
        if method is not None:
            named = frame._replace(function=method.full, name_source="metadata", trust="frame-chain")
            frames[caller - 1] = named
            return True
    return False


def _caller(frames: Sequence[Frame], call: Call) -> Optional[int]:
    """The frame that made the call: its place in the stack, when native code lies below it."""
    for index, frame in enumerate(frames):
        if frame.sp != call.sp or not frame.managed or frame.offset is None or frame.pc - frame.offset != call.caller:
            continue
        return index if index and not frames[index - 1].managed else None
    return None


def _frame(caller: Frame, call: Call) -> Frame:
    """A frame at the call itself: the P/Invoke has no code of its own."""
    assert call.target is not None
    path = call.target.path or call.target.module
    module = Module(path, None, None, None, None, "unverified") if path is not None else None
    function = call.target.full
    return caller._replace(
        function=function, module=module, offset=None, name_source="metadata", trust="frame-chain",
        unwinder="dumpwalk",
    )  # fmt: skip
