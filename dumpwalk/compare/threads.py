"""Which threads moved between two looks."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk.compare.model import Motion, ThreadMotion
from dumpwalk.report.model import Frame, Report, Thread
from dumpwalk.report.sections.movement.model import Movement, ThreadMark


def motions(first: Report, second: Report) -> List[ThreadMotion]:
    """One for each thread of either look, those of the second in its order."""
    before = {t.tid: t for t in first.threads if t.tid is not None}
    marks = _marks(first), _marks(second)
    found = []
    for thread in second.threads:
        earlier = before.pop(thread.tid, None) if thread.tid is not None else None
        if earlier is None:
            motion: Motion = "new" if thread.tid is not None else "unknown"
            what = (
                "made between the two looks"
                if thread.tid is not None
                else "has no number by which to find it in the first look"
            )
            found.append(ThreadMotion(thread.index, None, thread.tid, _name(thread), motion, what))
            continue
        pair = marks[0].get(earlier.index), marks[1].get(thread.index)
        motion, what = compared(earlier, thread, *pair)
        ran = _ran(*pair, _stops(second))
        if ran and motion in ("still", "unknown"):
            where = place(thread.frames)
            if thread.state == "waiting":
                motion, what = "moved", f"is where it was ({where}), but ran in between"
            else:
                motion, what = "turning", f"stays in {where}, and ran in between"
        elif ran is False and motion == "unknown":
            motion, what = "still", f"did not run between the looks ({place(thread.frames)})"
        found.append(ThreadMotion(thread.index, earlier.index, thread.tid, _name(thread), motion, what, ran))
    for earlier in before.values():
        found.append(
            ThreadMotion(None, earlier.index, earlier.tid, _name(earlier), "ended", "ended between the two looks")
        )
    return found


def compared(
    earlier: Thread, later: Thread, mark: Optional[ThreadMark], other: Optional[ThreadMark]
) -> Tuple[Motion, str]:
    """How a thread moved, and in words."""
    where = place(later.frames)
    same_frames = [f.pc for f in earlier.frames] == [f.pc for f in later.frames]
    if not same_frames or not later.frames:
        if not earlier.frames or not later.frames:
            return "unknown", "one of the looks has no stack of it"
        if _in_one_function(earlier.frames, later.frames):
            return "turning", f"stays in {where}; its callers did not move"
        return "moved", f"was in {place(earlier.frames)}, is in {where}"
    if mark is None or other is None or None in (mark.registers, other.registers, mark.stack, other.stack):
        return "unknown", f"the same frames ({where}); registers or stack words are not in both looks"
    if (mark.registers, mark.stack) == (other.registers, other.stack):
        return "still", f"registers, stack words and frames are equal ({where})"
    if later.state == "waiting" and earlier.state == "waiting":
        return (
            "unknown",
            f"waits in the same place ({where}); words on its stack changed, so it may have left and come back",
        )
    return "turning", f"stays in {where}; registers or stack words changed"


def _ran(mark: Optional[ThreadMark], other: Optional[ThreadMark], stops: int) -> Optional[bool]:
    """Whether the kernel switched it in and out between the looks, beyond what the stops themselves make."""
    if mark is None or other is None or mark.switches is None or other.switches is None:
        return None
    return other.switches - mark.switches > _SWITCHES_OF_A_STOP * (stops + 1)


_SWITCHES_OF_A_STOP = 3
"""Interrupted, stopped, and asleep again in the system call that is entered once more."""


def _stops(report: Report) -> int:
    movement = report.of(Movement)
    return (movement.stops or 0) if movement is not None else 0


def _in_one_function(earlier: Sequence[Frame], later: Sequence[Frame]) -> bool:
    """The innermost function is the same, and all callers stand where they stood. An unwinder may lose or double the caller of
    a function that it meets in its prologue: two frames may differ."""
    same = 0
    for one, other in zip(reversed(earlier), reversed(later)):
        if one.pc != other.pc:
            break
        same += 1
    if not same or max(len(earlier), len(later)) - same > _INNERMOST:
        return False
    if _function(earlier[0]) is not None or _function(later[0]) is not None:
        return _function(earlier[0]) == _function(later[0])
    return earlier[0].module == later[0].module and abs(int(earlier[0].pc, 16) - int(later[0].pc, 16)) < _ONE_FUNCTION


_INNERMOST = 2
_ONE_FUNCTION = 4096
"""Bytes: code without names that is nearer is taken for one function."""


def place(frames: Sequence[Frame]) -> str:
    """The innermost frame of the program's own or the runtime's managed code, else the innermost one, by name."""
    named = next((f for f in frames if f.kind == "managed" and f.function), None)
    chosen = named or next((f for f in frames if f.function), None)
    if chosen is not None:
        return str(chosen.function)
    return f"{frames[0].module or 'code'} at {frames[0].pc}" if frames else "no frame"


def _function(frame: Frame) -> Optional[Tuple[Optional[str], str]]:
    return (frame.module, frame.function) if frame.function else None


def _name(thread: Thread) -> Optional[str]:
    return (thread.managed.name if thread.managed is not None else None) or thread.name


def _marks(report: Report) -> Dict[int, ThreadMark]:
    movement = report.of(Movement)
    return {m.thread: m for m in movement.marks} if movement is not None else {}
