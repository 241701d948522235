"""The dumped (or live) process as the analysis sees it: threads with frames and registers, modules, memory, symbols.

No lldb type crosses this line: `session.py` fills these from lldb, `bare.py` from the core file alone when lldb cannot be
used. An analysis asks the same questions of either and gets None where something is not known.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Protocol, Sequence, Tuple

from dumpwalk.core.arch import Arch
from dumpwalk.core.corefile import CoreFile, Segment
from dumpwalk.core.memory import Memory
from dumpwalk.core.numbering import Numbering, read_numbering
from dumpwalk.core.vocabulary import MatchStatus, NameSource, Os, TidSource, Trust, Unwinder
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class Module:
    """An image of the process. `file` is the matched file on this machine; `symbols` tells if lldb has real names for it."""

    path: str
    base: Optional[int]
    end: Optional[int]
    build_id: Optional[str]
    file: Optional[str]
    match: MatchStatus
    other: Optional[str] = None
    """A file of another build that was found in its place, and not used."""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Symbol:
    """A real symbol (never one that a debugger made up for a stripped image)."""

    name: str
    start: int
    module: Optional[str] = None


FrameRegisters = Callable[[int, str], Optional[int]]
"""The value of a register in the frame of that index; None where the unwinder cannot tell."""


def no_registers(index: int, name: str) -> Optional[int]:
    """For frames found by other means than a debugger's unwinder."""
    return None


class Frame(NamedTuple):
    """One frame. Ten thousand threads have 250,000 of them: a plain tuple, and registers are asked for when needed."""

    index: int  # type: ignore[assignment]  # tuples have a method of that name, which nobody asks of a frame
    pc: int
    module: Optional[Module]
    function: Optional[str]
    offset: Optional[int]
    name_source: NameSource
    trust: Trust
    managed: bool
    """In executable memory that belongs to no module: code the JIT made, or a stub."""
    registers: FrameRegisters
    sp: Optional[int]
    """The stack pointer in this frame (of frame 0 the thread's own); None where the unwinder cannot tell."""
    unwinder: Unwinder
    """Who found it: lldb, or dumpwalk itself."""

    @property
    def noted(self) -> bool:
        """A P/Invoke that the runtime noted: no code of its own; pc, sp and registers are its caller's."""
        return self.trust == "frame-chain" and self.managed and self.offset is None and self.name_source == "metadata"

    def register(self, name: str) -> Optional[int]:
        """A register's value in this frame; None where the unwinder cannot tell."""
        return self.registers(self.index, name)

    def moved(self, index: int) -> Frame:
        """The frame at another place of the stack; who unwound it still knows its registers by the old one."""
        if self.index == index:
            return self
        known, number = self.registers, self.index
        return self._replace(index=index, registers=lambda at, name: known(number, name))


@dataclass
class Thread:
    index: int
    tid: Optional[int]
    tid_source: TidSource
    registers: Mapping[str, int]
    """Frame 0's general registers, from the core."""
    signal: Optional[int]
    name: Optional[str]
    unwind: Callable[[], Tuple[Sequence[Frame], Optional[str]]] = field(repr=False, default=lambda: ((), None))
    """Gives the frames and why the stack ends."""
    _frames: Optional[Tuple[Frame, ...]] = field(default=None, repr=False)
    stack_end: Optional[str] = None
    """Why the stack has no further frame (unwinding/stack.py), once its frames were asked for; None where lldb does not say."""
    in_debugger: bool = True
    """False for a second thread of one tid, which lldb does not show: no line to paste may select it."""

    def frames(self) -> Tuple[Frame, ...]:
        """Frames, innermost first; unwound once."""
        if self._frames is None:
            frames, self.stack_end = self.unwind()
            self._frames = tuple(frames)
        return self._frames

    @property
    def unwound(self) -> bool:
        """Its frames were asked for already."""
        return self._frames is not None

    def forget_frames(self) -> None:
        """Unwind again when they are next asked for: more is known now."""
        self._frames = None

    def tell_frames(self, frames: Iterable[Frame]) -> None:
        """The whole stack with more known of it: names, a P/Invoke that the runtime noted. Frames themselves never change; the
        three sources of names (symbols, metadata, what the code does) give new ones, each in a step of its own."""
        self._frames = tuple(frames)


class SymbolTable(Protocol):
    """The symbols of one image, read from its own tables."""

    base: int

    def symbol(self, name: str) -> Optional[Any]:
        """What has the `address` of the symbol of this name as it stands in the tables; None where there is none."""


class SymbolSource(Protocol):
    def address_of(self, names: Sequence[str], image: Optional[SymbolTable]) -> Optional[int]:
        """Load address of the first of these symbols, plain or mangled names, that the image defines; without an image of the
        first that some module defines."""

    def symbol_at(self, address: int) -> Optional[Symbol]:
        """The data or code symbol that covers `address`."""

    def line_at(self, address: int) -> Optional[str]:
        """`path/file.cpp:123` of the code at `address`, where debug data tells."""


class NoSymbols:
    def address_of(self, names: Sequence[str], image: Optional[SymbolTable]) -> Optional[int]:
        return None

    def symbol_at(self, address: int) -> Optional[Symbol]:
        return None

    def line_at(self, address: int) -> Optional[str]:
        return None


class Unwinding(Protocol):
    """What makes the threads' frames, so that a higher room can tell it of code that only a runtime describes."""

    def use_managed(self, rule: Callable[[int, bool], Any], resume: Callable[[Mapping[str, int]], Any]) -> None:
        """`rule` gives unwind rules of managed code (unwinding/code_rules.py); `resume` a thread's transition frames by
        its registers (unwinding/stack.py)."""


@dataclass
class Process:
    arch: Arch
    os: Os
    pid: Optional[int]
    threads: List[Thread]
    modules: List[Module]
    memory: Memory
    """The dump's memory, and nothing else: what the process held when it was written."""
    code: Memory
    """The dump's memory, then the bytes of matched module files: for instructions and constants only."""
    symbols: SymbolSource
    corefile: Optional[CoreFile]
    """None for a live process or a target whose file is not known."""
    debugger_version: Optional[str] = None
    module_facts: Dict[str, str] = field(default_factory=dict)
    files_named: Callable[[str], Sequence[str]] = field(default=lambda path: (), repr=False)
    """Files on this machine that may be the one the process had at a path: the user's modules, the core's folder, the path
    itself. By name alone; nothing is matched."""
    live: bool = False
    selected: Optional[int] = None
    """Index of the thread that is selected in a debugger's session; None where there is no session."""
    unwinding: Optional[Unwinding] = field(default=None, repr=False)
    threads_complete: bool = True
    """All threads of the process are here; only then may an owner that is not found be called gone."""

    @property
    def regions(self) -> Sequence[Segment]:
        """The process's mappings, captured or not; empty where they are not known."""
        return self.corefile.regions if self.corefile is not None else self.memory.segments()

    @property
    def numbering(self) -> Numbering:
        """How memory numbers the threads, compared with the dump's notes once."""
        found = self.__dict__.get("_numbering")
        if found is None:
            found = read_numbering(self.threads, self.memory, self.arch, self.os, self.pid)
            self.__dict__["_numbering"] = found
        return found

    def thread_by_tid(self, tid: int) -> Optional[Thread]:
        """The thread that memory knows by this number, comparing the low 32 bits: createdump on macOS records no more of it.

        Memory's numbers are those of the process's own pid namespace; the notes' may be another's (`numbering`).
        """
        at = self.numbering.position.get(tid & 0xFFFFFFFF)
        return self.threads[at] if at is not None else None

    def thread_of_note(self, tid: int) -> Optional[Thread]:
        """The thread whose note in the dump has this number: for what the dump itself says, a signal or a crash. None where
        two notes have it: which of them is meant is not known."""
        found = [t for t in self.threads if t.tid == tid]
        return found[0] if len(found) == 1 else None

    def own_tid(self, thread: Thread) -> Optional[int]:
        """The number by which memory knows a thread."""
        return self.numbering.own.get(thread.index, thread.tid)

    def module_at(self, address: int) -> Optional[Module]:
        for module in self.modules:
            if module.base is not None and module.end is not None and module.base <= address < module.end:
                return module
        return None
