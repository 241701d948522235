"""Threads, frames, registers and symbols out of lldb, as the types of process.py.

lldb's made-up names for stripped images (`___lldb_unnamed_symbol...`, SBSymbol.IsSynthetic) are no names; their start
address is kept, since functions of the same start are the same function. Volatile registers have a value in frame 0 only.
Outer arm64 frames may report a stack pointer of all ones: a frame is known by its frame pointer and its CFA.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.arch import Arch
from dumpwalk.core.memory import Memory
from dumpwalk.core.module_map import ModuleMap
from dumpwalk.core.process import Frame, FrameRegisters, Module, Symbol, no_registers
from dumpwalk.core.unwind import follow_frame_pointers, scan_for_chain, strip_pac
from dumpwalk.images.elf_image import sizeless_functions

_NO_ADDRESS = 0xFFFFFFFFFFFFFFFF

Name = Tuple[Optional[str], Optional[int], str]
"""(function, its start address, name source)."""


class LldbSymbols:
    """Symbols of the target's modules, in both directions. Made-up names are never returned."""

    def __init__(self, lldb: Any, target: Any) -> None:
        self._lldb = lldb
        self._target = target
        self._sizeless: Dict[str, FrozenSet[str]] = {}

    def address_of(self, names: Sequence[str]) -> Optional[int]:
        for name in names:
            found = self._target.FindSymbols(name)
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
    name_source: str
    managed: bool


def _registers_of(thread: Any) -> FrameRegisters:
    """Registers of a thread's frames. lldb keeps the frames; holding on to its objects for them would double their cost."""

    def register(index: int, name: str) -> Optional[int]:
        value = thread.GetFrameAtIndex(index).FindRegister(name)
        if not value.IsValid() or value.GetValue() is None:
            return None
        return int(value.GetValueAsUnsigned())

    return register


class Unwinder:
    """Frames of one thread: lldb's, then by frame pointer where lldb stops early, then by a scan where neither works."""

    def __init__(
        self,
        lldb: Any,
        arch: Arch,
        memory: Memory,
        code: Memory,
        modules: ModuleMap,
        symbols: LldbSymbols,
        pac_mask: int,
    ) -> None:
        self._lldb = lldb
        self._arch = arch
        self._memory = memory
        self._code = code
        self._modules = modules
        self._symbols = symbols
        self._pac_mask = pac_mask
        segments = [s for s in memory.segments() if s.executable]
        self._executable = [(s.start, s.end) for s in segments]
        self._executable_starts = [s.start for s in segments]
        self._places: Dict[int, _Place] = {}
        self.limited: List[int] = []
        """Index ids of threads whose stack was cut at the frame limit."""

    def is_code(self, address: int) -> bool:
        if self._modules.at(address) is not None:
            return True
        index = bisect_right(self._executable_starts, address) - 1
        return index >= 0 and self._executable[index][0] <= address < self._executable[index][1]

    def frames(self, thread: Any, index_id: int, sp: int) -> List[Frame]:
        frames: List[Frame] = []
        registers = _registers_of(thread)
        last: Any = None
        count = min(thread.GetNumFrames(), limits.FRAMES_PER_THREAD)
        for index in range(count):
            frame = thread.GetFrameAtIndex(index)
            pc = frame.GetPC()
            place = self._places.get(pc)
            if place is None:
                place = self._places[pc] = self._place(frame, pc)
            if index and place.pc in (0, _NO_ADDRESS):
                break
            trust = "cfi" if index else "context"
            at = frame.GetSP()
            frames.append(
                Frame(index, place.pc, *place[1:5], trust, place.managed, registers, None if at == _NO_ADDRESS else at)
            )
            last = frame
        if len(frames) >= limits.FRAMES_PER_THREAD:
            self.limited.append(index_id)
        elif last is not None:
            self._go_on(frames, last, sp)
        return frames

    def _place(self, frame: Any, pc: int) -> _Place:
        """What is true of every frame with this pc; asked once."""
        pc = strip_pac(self._arch, pc, self._pac_mask)
        name, start, source = self._symbols.function_of(frame)
        module = self._modules.at(pc)
        offset = pc - start if start is not None else None
        return _Place(pc, module, name, offset, source, module is None and self.is_code(pc))

    def _go_on(self, frames: List[Frame], last: Any, sp: int) -> None:
        """lldb's last frame is often not the thread's first: go on by frame pointer from its FP."""
        room = limits.FRAMES_PER_THREAD - len(frames)
        fp = int(last.GetFP())
        chain = [] if fp in (0, _NO_ADDRESS) else self._chain(fp, self._lowest(frames, last, fp, sp), room)
        known = {f.pc for f in frames}
        chain = [(pc, fp) for pc, fp in chain if pc not in known] if len(frames) > 1 else chain
        if not chain and len(frames) == 1 and not frames[0].managed:
            for pc, _, trust, at in scan_for_chain(
                self._arch, self._memory, self._code, sp, self.is_code, room, self._pac_mask
            ):
                self._append(frames, pc, trust, at)
        for pc, _ in chain:
            self._append(frames, pc, "fp", None)

    def _lowest(self, frames: List[Frame], last: Any, fp: int, sp: int) -> int:
        """The lowest stack address that the next frame may have."""
        if len(frames) == 1:
            return sp
        cfa = int(last.GetCFA())
        return min(sp if cfa in (0, _NO_ADDRESS) else cfa, fp)

    def _chain(self, fp: int, low: int, room: int) -> List[Tuple[int, int]]:
        return follow_frame_pointers(self._arch, self._memory, fp, self.is_code, low, room, self._pac_mask)

    def _append(self, frames: List[Frame], pc: int, trust: str, sp: Optional[int]) -> None:
        module = self._modules.at(pc)
        name, start, source = self._symbols.function_at(pc - self._arch.min_instruction)
        frames.append(
            Frame(
                index=len(frames),
                pc=pc,
                module=module,
                function=name,
                offset=pc - start if start is not None else None,
                name_source=source,
                trust=trust,
                managed=module is None,
                registers=no_registers,
                sp=sp,
            )
        )
