"""A debugger's stack made whole: what it lost above code it has no unwind data for, and what lies beyond where it stopped.

A debugger knows nothing of managed code and of images whose files it lacks. It follows the frame pointer from there, which
skips the caller of every function that keeps none, and it stops where no frame pointer leads on. The frame itself has the
right pc and stack pointer, so the stack is followed by rules from there until a frame of the debugger's is met again, by pc
and stack pointer, whose unwind data it has. Frames that both found keep the debugger's registers.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.process import Frame, FrameRegisters
from dumpwalk.unwinding.registers import Values
from dumpwalk.unwinding.stack import LIMIT, OUTERMOST, Resume, StackUnwinder, Step

Make = Callable[[int, Step, FrameRegisters], Frame]
"""A frame of this index from a step."""


class Completion:
    """`has_data` tells of a pc if the debugger has a file with its unwind data."""

    def __init__(self, own: StackUnwinder, has_data: Callable[[int], bool], make: Make) -> None:
        self._own = own
        self._has_data = has_data
        self._make = make

    def complete(
        self, frames: Sequence[Frame], registers: Mapping[str, int], resume: Optional[Resume] = None
    ) -> Tuple[List[Frame], Optional[str]]:
        """(all frames, why the stack ends). `registers` are the thread's own."""
        whole: List[Frame] = []
        end: Optional[str] = None
        at, exact = 0, True
        while at < len(frames):
            frame = frames[at]
            whole.append(frame.moved(len(whole)))
            rule = self._own.rule(frame.pc, exact)
            last = at + 1 == len(frames)
            if last and rule is not None and rule.outermost:
                return whole, OUTERMOST
            weak = not self._has_data(frame.pc) and (rule is not None or at == 0)
            if (weak or last) and frame.sp is not None:
                steps, joined, end = self._ahead(frame, exact, frames[at + 1 :], registers, len(whole), resume)
                if joined is not None or last or end == OUTERMOST or len(steps) > len(frames) - at - 1:
                    self._put(whole, steps, frames[at + 1 :], joined is not None)
                    if joined is None:
                        return whole, end
                    at += 1 + joined
                    exact = False
                    continue
            exact = rule is not None and rule.interrupted
            at += 1
        return whole, LIMIT if len(whole) >= limits.FRAMES_PER_THREAD else end

    def _ahead(
        self,
        frame: Frame,
        exact: bool,
        rest: Sequence[Frame],
        registers: Mapping[str, int],
        have: int,
        resume: Optional[Resume],
    ) -> Tuple[List[Step], Optional[int], str]:
        """(steps above the frame, which of `rest` was met again, why they end). The frame that was met is not a step."""
        own = self._own
        values: Values = [None] * len(own.registers.names)
        if exact and not have - 1:
            values = own.registers.values(registers)
        else:
            values[own.registers.fp] = frame.register(own.registers.names[own.registers.fp])
        values[own.registers.pc], values[own.registers.sp] = frame.pc, frame.sp
        known: Dict[Tuple[int, Optional[int]], int] = {(f.pc, f.sp): n for n, f in enumerate(rest)}
        met: List[int] = []

        def met_again(step: Step) -> bool:
            position = known.get((step.pc, step.sp))
            if position is None or not self._has_data(step.pc):
                return False
            met.append(position)
            return True

        first = Step(frame.pc, frame.sp or 0, frame.trust, tuple(values), exact)
        steps, end = own.ahead(first, limits.FRAMES_PER_THREAD - have + 1, met_again, resume)
        return (steps[:-1], met[0], end) if met else (steps, None, end)

    def _put(self, whole: List[Frame], steps: List[Step], rest: Sequence[Frame], joined: bool) -> None:
        values = [step.values for step in steps]
        first = len(whole)

        def register(index: int, name: str) -> Optional[int]:
            number = self._own.registers.numbers.get(name)
            return values[index - first][number] if number is not None else None

        both = {(f.pc, f.sp): f for f in rest}
        for step in steps:
            frame = both.get((step.pc, step.sp))
            if frame is not None:
                trust = step.trust if step.trust == "unwind-info" else frame.trust
                whole.append(frame.moved(len(whole))._replace(trust=trust))
            else:
                whole.append(self._make(len(whole), step, register))
