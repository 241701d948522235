"""From a thread's registers to its frames: rule by rule, and what is done where there is no rule.

Rules come from suppliers, asked once per address: CFI of the image, unwind codes of managed code (coreclr/unwinding), signal
trampolines. Where none answers: the frame pointer, if it leads to a caller that can be; in the innermost frame also the
nearest return address on the stack from which the stack can be followed by rules. Each frame tells what it rests on.

Every stack ends with a record: outermost (the thread's first function), no-rule, not-captured, no-code, loop or limit.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Protocol, Set, Tuple

from dumpwalk import limits
from dumpwalk.core.arch import Arch
from dumpwalk.core.memory import Memory
from dumpwalk.core.unwind import after_call, scan_for_chain, strip_pac
from dumpwalk.core.vocabulary import Trust
from dumpwalk.unwinding.registers import RegisterFile, Values, register_file
from dumpwalk.unwinding.rules import Rule, Words, apply

Resume = Callable[[int], Optional[Tuple[int, int, int]]]
"""(pc, sp, frame pointer) of the first frame above a stack address that the runtime itself noted; None when there is none."""

OUTERMOST, NO_RULE, NOT_CAPTURED, NO_CODE, LOOP, LIMIT = (
    "outermost",
    "no-rule",
    "not-captured",
    "no-code",
    "loop",
    "limit",
)

_CONFIRMED = 2
"""Rules that must follow a return address found by searching before it is believed."""
_TRIED = 24
"""Return addresses tried on one stack."""
_POINTERS = 6
"""Saved frame pointers tried with each: a function saves its caller's before it calls on."""
_STACK_BYTES = 8 << 20


MET = "met"
"""Not an end: a frame was reached that is known already."""


class CodeMap(Protocol):
    """What is known of code addresses (code_rules.py)."""

    def __call__(self, pc: int, exact: bool) -> Optional[Rule]:
        """The rule of a pc; `exact` is True where the pc is the next instruction, False where it is a return address."""

    def is_code(self, address: int) -> bool: ...

    def is_memory(self, address: int) -> bool: ...


class Step(NamedTuple):
    pc: int
    sp: int
    trust: Trust
    values: Tuple[Optional[int], ...]
    interrupted: bool
    """The pc is the next instruction (frame 0, or interrupted by a signal), not the one behind a call."""


class Stack(NamedTuple):
    steps: List[Step]
    end: str
    """Why it ends; see above."""


class StackUnwinder:
    """Unwinds threads of one process."""

    def __init__(self, arch: Arch, memory: Memory, code: Memory, code_map: CodeMap, pac_mask: int = 0) -> None:
        self.registers: RegisterFile = register_file(arch)
        self._arch = arch
        self._memory = memory
        self._code = code
        self._code_map = code_map
        self._is_code = code_map.is_code
        self._pac_mask = pac_mask
        self._rules: Dict[Tuple[int, bool], Optional[Rule]] = {}
        self._words = Words(memory)

    def rule(self, pc: int, exact: bool) -> Optional[Rule]:
        key = (pc, exact)
        if key not in self._rules:
            self._rules[key] = self._code_map(pc, exact)
        return self._rules[key]

    def forget_rules(self) -> None:
        """After a supplier has learned of more code."""
        self._rules.clear()

    def unwind(self, values: Values, resume: Optional[Resume] = None) -> Stack:
        """All frames from frame 0's registers on."""
        pc, sp = values[self.registers.pc], values[self.registers.sp]
        if pc is None or sp is None:
            return Stack([], NOT_CAPTURED)
        first = list(values)
        first[self.registers.pc] = self._strip(pc)
        steps = [Step(first[self.registers.pc] or 0, sp, "context", tuple(first), True)]
        return Stack(steps, self._follow(steps, limits.FRAMES_PER_THREAD, resume))

    def ahead(
        self, step: Step, room: int, met: Callable[[Step], bool], resume: Optional[Resume] = None
    ) -> Tuple[List[Step], str]:
        """(frames above `step`, why they end), at most up to the first of which `met` is true, that one included."""
        steps = [step]
        end = self._follow(steps, room, resume, met)
        return steps[1:], end

    def _follow(
        self, steps: List[Step], room: int, resume: Optional[Resume], met: Callable[[Step], bool] = lambda step: False
    ) -> str:
        seen: Set[Tuple[int, int]] = set()
        while len(steps) < room:
            last = steps[-1]
            if (last.pc, last.sp) in seen:
                steps.pop()
                return LOOP
            seen.add((last.pc, last.sp))
            rule = self.rule(last.pc, last.interrupted)
            if rule is not None and rule.outermost:
                return OUTERMOST
            following = self._by_rule(last, rule) if rule is not None else None
            if following is None or not self._plausible(last, following):
                end = self._end(last, rule, following)
                if end == OUTERMOST:
                    return end
                innermost = len(steps) == 1 and last.trust == "context"
                following = self._from_stub(last) if innermost else None
                following = following or self._by_frame_pointer(last)
                if following is None and innermost:
                    following = self._by_search(last)
                following = following or self._resumed(last, resume)
                if following is None:
                    return end
            steps.append(following)
            if met(following):
                return MET
        return LIMIT

    def _by_rule(self, last: Step, rule: Rule) -> Optional[Step]:
        values = apply(rule, last.values, self.registers, self._words)
        if values is None:
            return None
        pc = self._strip(values[self.registers.pc] or 0)
        values[self.registers.pc] = pc
        return Step(pc, values[self.registers.sp] or 0, rule.trust, tuple(values), rule.interrupted)

    def _advances(self, last: Step, following: Step) -> bool:
        """Callers lie higher on the stack. A handler may run on a stack of its own; arm64's leaves have no frame."""
        if following.interrupted:
            return True
        leaf = self.registers.link is not None and last.interrupted
        return following.sp > last.sp or (leaf and following.sp == last.sp)

    def _plausible(self, last: Step, following: Step) -> bool:
        return self._advances(last, following) and self._code_map.is_memory(following.pc)

    def _end(self, last: Step, rule: Optional[Rule], following: Optional[Step]) -> str:
        if rule is None:
            return NO_RULE
        if following is None:
            return NOT_CAPTURED
        if following.pc == 0:
            return OUTERMOST
        return NO_CODE if self._advances(last, following) else LOOP

    def _resumed(self, last: Step, resume: Optional[Resume]) -> Optional[Step]:
        """A transition frame of the runtime's own chain, where unwinding does not get to the managed caller."""
        found = resume(last.sp) if resume is not None else None
        if found is None or found[1] <= last.sp or not self._is_code(found[0]):
            return None
        pc, sp, fp = found
        return self._bare_step(pc, sp, fp, "frame-chain")

    def _from_stub(self, last: Step) -> Optional[Step]:
        """Frame 0 in a piece of code that has no frame: its return address is on top of the stack, or in the link register.

        Believed where the stack can be followed by rules from there, and of a system call's stub, which has no other form,
        where every function that follows keeps a frame pointer.
        """
        values = list(last.values)
        link = self.registers.link
        back = values[link] if link is not None else self._words.at(last.sp)
        back = self._strip(back or 0)
        if not self._is_code(back) or after_call(self._arch, self._code, back) is not True:
            return None
        sp = last.sp if link is not None else last.sp + 8
        for number in self.registers.volatile:
            values[number] = None
        values[self.registers.pc], values[self.registers.sp] = back, sp
        step = Step(back, sp, "scan", tuple(values), False)
        if self._leads_on(step):
            return step
        instruction, distance = self._arch.syscall_instruction, self._arch.syscall_before_pc
        calls = self._code.read(last.pc - distance, len(instruction)) == instruction
        return step._replace(trust="fp") if calls and self._arch.frame_pointers else None

    def _by_frame_pointer(self, last: Step) -> Optional[Step]:
        fp = last.values[self.registers.fp]
        if fp is None or fp < last.sp or fp & 7:
            return None
        saved, back = self._words.at(fp), self._words.at(fp + 8)
        if saved is None or back is None:
            return None
        back = self._strip(back)
        if not self._is_code(back):
            return None
        if saved <= fp and after_call(self._arch, self._code, back) is False:
            return None  # the outermost frame's caller need not use the register as a frame pointer
        return self._bare_step(back, fp + 16, saved, "fp")

    def _by_search(self, last: Step) -> Optional[Step]:
        """Frame 0 without rule and without frame pointer: the lowest return address that leads on by rules, else the
        frame record with the longest chain above it."""
        link = self.registers.link
        if link is not None:
            back = self._strip(last.values[link] or 0)
            if self._is_code(back) and after_call(self._arch, self._code, back) is not False:
                values = list(last.values)
                values[self.registers.pc] = back
                step = Step(back, last.sp, "scan", tuple(values), False)
                if self._leads_on(step):
                    return step
        tried = 0
        pointers = [last.values[self.registers.fp]]
        for slot in range(last.sp, last.sp + limits.STACK_SCAN_BYTES, 8):
            word = self._words.at(slot)
            if word is None:
                break
            if slot < word < last.sp + _STACK_BYTES and not word & 7:
                pointers.append(word)
            back = self._strip(word)
            if not self._is_code(back) or after_call(self._arch, self._code, back) is False:
                continue
            tried += 1
            for fp in (pointers[0], *pointers[:0:-1][:_POINTERS]):
                step = self._bare_step(back, slot + 8, fp, "scan")
                if self._leads_on(step):
                    return step
            if tried >= _TRIED:
                break
        chain = scan_for_chain(self._arch, self._memory, self._code, last.sp, self._is_code, 2, self._pac_mask)
        return self._bare_step(chain[0][0], chain[0][3], chain[0][1], "scan") if chain else None

    def _leads_on(self, step: Step) -> bool:
        """Enough rules apply from here on, or fewer and the last of them says that it is the outermost."""
        for _ in range(_CONFIRMED):
            rule = self.rule(step.pc, step.interrupted)
            if rule is None:
                return False
            if rule.outermost:
                return True
            following = self._by_rule(step, rule)
            if following is None or not self._plausible(step, following):
                return following is not None and following.pc == 0
            step = following
        return True

    def _bare_step(self, pc: int, sp: int, fp: Optional[int], trust: Trust) -> Step:
        values: Values = [None] * len(self.registers.names)
        values[self.registers.pc], values[self.registers.sp], values[self.registers.fp] = pc, sp, fp
        return Step(pc, sp, trust, tuple(values), False)

    def _strip(self, address: int) -> int:
        return strip_pac(self._arch, address, self._pac_mask)
