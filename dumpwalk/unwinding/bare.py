"""Stacks of a core without a debugger, as the types of core/process.py.

10,000 threads have 250,000 frames: what is true of a pc (module, function, rule) is found once, and a frame's registers are
computed again when they are asked for.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from dumpwalk.core.arch import arch_for
from dumpwalk.core.corefile import CoreFile
from dumpwalk.core.memory import Memory
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Frame, Module
from dumpwalk.core.vocabulary import NameSource
from dumpwalk.images.elf_symbols import SymbolNames, readable
from dumpwalk.unwinding.code_rules import CodeRules, ManagedRule
from dumpwalk.unwinding.registers import register_file
from dumpwalk.unwinding.stack import Resume, Stack, StackUnwinder


class _Place(NamedTuple):
    module: Optional[Module]
    function: Optional[str]
    offset: Optional[int]
    name_source: NameSource
    managed: bool


class BareStacks:
    """Unwinds the threads of one core."""

    def __init__(self, core: CoreFile, memory: Memory, code: Memory, modules: ModuleMap) -> None:
        arch = arch_for(core.os, core.arch)
        registers = register_file(arch)
        self._modules = modules
        self._names = SymbolNames(code)
        self.rules = CodeRules(core.regions, code, modules, registers)
        self.unwinder = StackUnwinder(arch, memory, code, self.rules, core.pac_mask)
        self._places: Dict[Tuple[int, bool], _Place] = {}
        self._last: Tuple[Optional[Mapping[str, int]], Optional[Stack]] = (None, None)
        self.resume: Callable[[Mapping[str, int]], Optional[Resume]] = lambda registers: None
        """A thread's transition frames, by its registers; set when the runtime is known."""

    def use_managed(self, rule: ManagedRule, resume: Callable[[Mapping[str, int]], Optional[Resume]]) -> None:
        """See core.process.Unwinding."""
        self.rules.managed = rule
        self.unwinder.forget_rules()
        self.resume = resume
        self._last = (None, None)

    def frames(self, registers: Mapping[str, int]) -> Tuple[List[Frame], str]:
        """(frames innermost first, why the stack ends)."""
        stack = self._unwind(registers)

        def register(index: int, name: str) -> Optional[int]:
            return self._register(registers, index, name)

        frames: List[Frame] = []
        for index, step in enumerate(stack.steps):
            place = self._places.get((step.pc, step.interrupted)) or self._place(step.pc, step.interrupted)
            frames.append(Frame(index, step.pc, *place[:4], step.trust, place.managed, register, step.sp, "dumpwalk"))
        return frames, stack.end

    def look_up(self, pc: int) -> None:
        """Read the unwind data and the name of a frame's pc, as a call's return address and as an interrupted one."""
        for exact in (False, True):
            self.rules(pc, exact)
            self._place(pc, exact)

    def _unwind(self, registers: Mapping[str, int]) -> Stack:
        if self._last[0] is not registers or self._last[1] is None:
            values = self.unwinder.registers.values(registers)
            self._last = registers, self.unwinder.unwind(values, self.resume(registers))
        return self._last[1]  # type: ignore[return-value]

    def _register(self, registers: Mapping[str, int], index: int, name: str) -> Optional[int]:
        steps = self._unwind(registers).steps
        number = self.unwinder.registers.numbers.get(name)
        return steps[index].values[number] if number is not None and index < len(steps) else None

    def _place(self, pc: int, exact: bool) -> _Place:
        at = pc if exact else pc - 1
        module = self._modules.at(at)
        found = None
        if module is not None and module.base is not None:
            found = self._names.at(module.base, module.file, at)
        start = found.start if found is not None else self.rules.function_start(at)
        offset = pc - start if start is not None else None
        name = readable(found.name) if found is not None else None
        source: NameSource = "none" if name is None else "symbol"
        place = _Place(module, name, offset, source, module is None and self.rules.is_code(pc))
        self._places[(pc, exact)] = place
        return place
