"""Threads, frames, registers and symbols out of lldb, as the types of process.py.

lldb's made-up names for stripped images (`___lldb_unnamed_symbol...`, SBSymbol.IsSynthetic) are no names; their start
address is kept, since functions of the same start are the same function. Volatile registers have a value in frame 0 only.
Outer arm64 frames may report a stack pointer of all ones: a frame is known by its frame pointer and its CFA.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.arch import Arch
from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import Memory
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Frame, FrameRegisters, Module, Symbol, SymbolTable
from dumpwalk.core.unwind import strip_pac
from dumpwalk.core.vocabulary import NameSource, Trust
from dumpwalk.images.elf_image import sizeless_functions
from dumpwalk.unwinding.code_rules import CodeRules
from dumpwalk.unwinding.completion import Completion
from dumpwalk.unwinding.registers import register_file
from dumpwalk.unwinding.stack import Resume, StackUnwinder, Step

_NO_ADDRESS = 0xFFFFFFFFFFFFFFFF

Name = Tuple[Optional[str], Optional[int], NameSource]
"""(function, its start address, name source)."""


class LldbSymbols:
    """Symbols of the target's modules, in both directions. Made-up names are never returned."""

    def __init__(self, lldb: Any, target: Any) -> None:
        self._lldb = lldb
        self._target = target
        self._sizeless: Dict[str, FrozenSet[str]] = {}

    def address_of(self, names: Sequence[str], image: Optional[SymbolTable]) -> Optional[int]:
        """See SymbolSource. The image's own tables are asked first: for its first answer by name lldb demangles every symbol of
        every module it looks in, 30 ms for a runtime with symbols."""
        for symbol in map(image.symbol, names) if image is not None else ():
            if symbol is not None:
                return int(symbol.address)
        places = self._target
        if image is not None:
            module = self._target.ResolveLoadAddress(image.base).GetModule()
            places = module if module.IsValid() else self._target
        for name in names:
            found = places.FindSymbols(name)
            for index in range(found.GetSize()):
                symbol = found.GetContextAtIndex(index).GetSymbol()
                if not symbol.IsValid() or symbol.IsSynthetic():
                    continue
                address = symbol.GetStartAddress().GetLoadAddress(self._target)
                if address != _NO_ADDRESS:
                    return int(address)
        return None

    def symbol_at(self, address: int) -> Optional[Symbol]:
        resolved = self._target.ResolveLoadAddress(address)
        symbol = resolved.GetSymbol()
        if not symbol.IsValid() or symbol.IsSynthetic() or not symbol.GetName():
            return None
        start = symbol.GetStartAddress().GetLoadAddress(self._target)
        end = symbol.GetEndAddress().GetLoadAddress(self._target)
        if start == _NO_ADDRESS or not start <= address or (end != _NO_ADDRESS and end > start and address >= end):
            return None
        return Symbol(str(symbol.GetName()), int(start), resolved.GetModule().GetFileSpec().GetFilename())

    def line_at(self, address: int) -> Optional[str]:
        entry = self._target.ResolveSymbolContextForAddress(
            self._target.ResolveLoadAddress(address), self._lldb.eSymbolContextLineEntry
        ).GetLineEntry()
        file = entry.GetFileSpec()
        if not entry.IsValid() or not entry.GetLine() or not file.GetFilename():
            return None
        folder = file.GetDirectory()
        path = f"{folder}/{file.GetFilename()}" if folder else str(file.GetFilename())
        return f"{path[-limits.NAME_CHARACTERS :]}:{entry.GetLine()}"

    def function_of(self, frame: Any) -> Name:
        """The function around a frame's pc, from the frame's own symbol."""
        return self._name(frame.GetSymbol())

    def function_at(self, address: int) -> Name:
        """The function around any code address; a made-up name gives its start only."""
        return self._name(self._target.ResolveLoadAddress(address).GetSymbol())

    def _name(self, symbol: Any) -> Name:
        if not symbol.IsValid():
            return None, None, "none"
        start = symbol.GetStartAddress().GetLoadAddress(self._target)
        begin = int(start) if start != _NO_ADDRESS else None
        if symbol.IsSynthetic() or not symbol.GetName() or self._stretched(symbol):
            return None, begin, "none"
        return str(symbol.GetName())[: limits.NAME_CHARACTERS * 8], begin, "symbol"

    def _stretched(self, symbol: Any) -> bool:
        """musl's assembly functions have no size in its only symbol table, and lldb stretches them over what follows:
        everything behind `memset` would be called memset."""
        file = symbol.GetStartAddress().GetModule().GetFileSpec()
        name = file.GetFilename() or ""
        if not name.startswith(("ld-musl", "libc.musl")):
            return False
        path = f"{file.GetDirectory()}/{name}"
        if path not in self._sizeless:
            self._sizeless[path] = sizeless_functions(path)
        return symbol.GetName() in self._sizeless[path]


class _Place(NamedTuple):
    """What all frames of one pc share, in the order of Frame's fields."""

    pc: int
    module: Optional[Module]
    function: Optional[str]
    offset: Optional[int]
    name_source: NameSource
    managed: bool


def _registers_of(thread: Any, arch: Arch) -> FrameRegisters:
    """Registers of a thread's frames. lldb keeps the frames; holding on to its objects for them would double their cost.

    The frame pointer, which nearly every question is about, has a way of its own: the first value that lldb makes of any
    register costs it some 15 ms, in which it builds a Clang type system.
    """

    def register(index: int, name: str) -> Optional[int]:
        frame = thread.GetFrameAtIndex(index)
        if name == arch.fp:
            pointer = int(frame.GetFP())
            return pointer if pointer != _NO_ADDRESS else None
        value = frame.FindRegister(name)
        if not value.IsValid() or value.GetValue() is None:
            return None
        return int(value.GetValueAsUnsigned())

    return register


class Unwinder:
    """Frames of one thread: lldb's, and what it lost or did not reach (unwinding/completion.py)."""

    def __init__(
        self,
        lldb: Any,
        arch: Arch,
        memory: Memory,
        code: Memory,
        modules: ModuleMap,
        symbols: LldbSymbols,
        pac_mask: int,
        segments: Sequence[Segment],
    ) -> None:
        self._arch = arch
        self._modules = modules
        self._symbols = symbols
        self._pac_mask = pac_mask
        self._rules = CodeRules(segments, code, modules, register_file(arch))
        self._own = StackUnwinder(arch, memory, code, self._rules, pac_mask)
        self._completion = Completion(self._own, self._has_data, self._make)
        self._resume: Callable[[Mapping[str, int]], Optional[Resume]] = lambda registers: None
        self._places: Dict[int, _Place] = {}
        self.unloaded: Callable[[Module, int], Name] = lambda module, address: (None, None, "none")
        """Names functions of modules that the debugger has not loaded."""
        self.limited: List[int] = []
        """Index ids of threads whose stack was cut at the frame limit."""

    def use_managed(
        self, rule: Callable[[int, bool], Any], resume: Callable[[Mapping[str, int]], Optional[Resume]]
    ) -> None:
        """See core.process.Unwinding."""
        self._rules.managed = rule
        self._own.forget_rules()
        self._resume = resume

    def is_code(self, address: int) -> bool:
        return self._rules.is_code(address)

    def frames(self, thread: Any, index_id: int, own: Mapping[str, int]) -> Tuple[List[Frame], Optional[str]]:
        """(the frames of a thread, why its stack ends). `own` are the thread's registers."""
        frames: List[Frame] = []
        registers = _registers_of(thread, self._arch)
        count = min(thread.GetNumFrames(), limits.FRAMES_PER_THREAD)
        sp: Optional[int] = None
        for index in range(count):
            frame = thread.GetFrameAtIndex(index)
            pc = frame.GetPC()
            place = self._places.get(pc)
            if place is None:
                place = self._places[pc] = self._place(frame, pc)
            if index and not place.module and not self.is_code(place.pc):
                break  # a frame pointer that was none led there
            trust: Trust = "cfi" if index else "context"
            here = frame.GetSP()
            if here != _NO_ADDRESS:
                sp = here
            frames.append(Frame(index, place.pc, *place[1:5], trust, place.managed, registers, sp, "lldb"))
            if here == _NO_ADDRESS or self._arch.lr:
                cfa = frame.GetCFA()
                sp = None if cfa in (0, _NO_ADDRESS) else cfa
        end: Optional[str] = None
        if frames and len(frames) < limits.FRAMES_PER_THREAD:
            frames, end = self._completion.complete(frames, own, self._resume(own))
        if len(frames) >= limits.FRAMES_PER_THREAD:
            self.limited.append(index_id)
        return frames, end

    def _place(self, frame: Any, pc: int) -> _Place:
        """What is true of every frame with this pc; asked once."""
        pc = strip_pac(self._arch, pc, self._pac_mask)
        name, start, source = self._symbols.function_of(frame)
        module = self._modules.at(pc)
        if start is None and module is not None:
            name, start, source = self.unloaded(module, pc)
        offset = pc - start if start is not None else None
        return _Place(pc, module, name, offset, source, module is None and self.is_code(pc))

    def _has_data(self, pc: int) -> bool:
        module = self._modules.at(pc)
        return module is not None and module.file is not None

    def _make(self, index: int, step: Step, registers: FrameRegisters) -> Frame:
        at = step.pc if step.interrupted else step.pc - self._arch.min_instruction
        module = self._modules.at(step.pc)
        name, start, source = self._symbols.function_at(at)
        if start is None and module is not None:
            name, start, source = self.unloaded(module, at)
        offset = step.pc - start if start is not None else None
        managed = module is None and self.is_code(step.pc)
        return Frame(index, step.pc, module, name, offset, source, step.trust, managed, registers, step.sp, "dumpwalk")
