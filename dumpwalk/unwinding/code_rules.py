"""Where the rule of a code address comes from: the image's CFI, a signal trampoline, or the runtime's own unwind data."""

from __future__ import annotations

from bisect import bisect_right
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Memory
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.images.elf import PT_LOAD, bias
from dumpwalk.images.elf_memory import program_headers
from dumpwalk.unwinding.cfi import rule_at
from dumpwalk.unwinding.eh_frame import EhFrames
from dumpwalk.unwinding.registers import RegisterFile
from dumpwalk.unwinding.rules import Rule
from dumpwalk.unwinding.signal_frames import signal_rule

ManagedRule = Callable[[int, bool], Optional[Rule]]

_SMALL_IMAGE = 1 << 20
"""An image that no list names is looked for at the start of its own small mapping: the vdso has two pages."""


class CodeRules:
    """Answers as stack.RuleAt. `segments` are the core's, captured or not; `code` is the dump and then the matched files."""

    def __init__(self, segments: Sequence[Segment], code: Memory, modules: ModuleMap, registers: RegisterFile) -> None:
        self._code = code
        self._modules = modules
        self._registers = registers
        self._frames = EhFrames(code)
        self.managed: Optional[ManagedRule] = None
        """Asked where no image answers; set when the runtime is known."""
        executable = [s for s in segments if s.executable]
        self._starts = [s.start for s in executable]
        self._ends = [s.end for s in executable]
        self._all = [s.start for s in segments]
        self._all_ends = [s.end for s in segments]
        self._images: Dict[int, List[Tuple[int, int]]] = {}
        self._known_code: Set[int] = set()

    def __call__(self, pc: int, exact: bool) -> Optional[Rule]:
        if self._registers.link is not None:
            trampoline = signal_rule(self._code, pc, self._registers)
            if trampoline is not None:
                return trampoline
        at = pc if exact else pc - 1
        image = self._image_at(at)
        if image is not None:
            fde = self._frames.fde(image, at)
            rule = rule_at(fde, at, self._registers) if fde is not None else None
            if rule is not None:
                return rule
        rule = self.managed(pc, exact) if self.managed is not None else None
        if rule is None and self._registers.link is None:
            rule = signal_rule(self._code, pc, self._registers)
        return rule

    def function_start(self, address: int) -> Optional[int]:
        """Where the function around an address begins, as its unwind data says."""
        image = self._image_at(address)
        fde = self._frames.fde(image, address) if image is not None else None
        return fde.start if fde is not None else None

    def is_code(self, address: int) -> bool:
        """Can this be the address of an instruction: executable memory of the dump, or of an image's own headers."""
        if address in self._known_code:
            return True
        index = bisect_right(self._starts, address) - 1
        found = index >= 0 and address < self._ends[index]
        if not found:
            module = self._modules.at(address)
            found = module is not None and self._executable_part(module.base or 0, address)
        if found:
            self._known_code.add(address)
        return found

    def is_memory(self, address: int) -> bool:
        """Some memory of the process, or an image: what a caller that unwind data names must at least be in."""
        index = bisect_right(self._all, address) - 1
        return (index >= 0 and address < self._all_ends[index]) or self._modules.at(address) is not None

    def _executable_part(self, base: int, address: int) -> bool:
        """By the image's program headers; an image whose headers are not at hand is code all over."""
        if base not in self._images:
            headers = program_headers(self._code, base)
            delta = bias(headers, base)
            loads = [h for h in headers if h.kind == PT_LOAD and h.flags & 1]
            self._images[base] = [(h.address + delta, h.address + delta + h.memory_size) for h in loads]
        parts = self._images[base]
        return not parts or any(start <= address < end for start, end in parts)

    def _image_at(self, address: int) -> Optional[int]:
        module = self._modules.at(address)
        if module is not None:
            return module.base
        index = bisect_right(self._starts, address) - 1
        if index < 0 or not address < self._ends[index] <= self._starts[index] + _SMALL_IMAGE:
            return None
        start = self._starts[index]
        return start if self._code.read(start, 4) == b"\x7fELF" else None
