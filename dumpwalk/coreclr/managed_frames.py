"""Names for the managed frames of all stacks: a symbol first, then the method by metadata; inferred names come later.

A frame is looked at where no symbol names it and its address is in no native image. Each distinct address is looked up
once. Return addresses are looked up one byte before: a call can be a method's last instruction; a frame that a signal
interrupted stands at its own address, as the innermost one does.
"""

from __future__ import annotations

from dataclasses import field
from typing import Dict, Final, List, Optional, Sequence, Set, Tuple

from dumpwalk.core.process import Frame, Module, Process, Thread
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.words import Unknown
from dumpwalk.dataclass import dataclass

METADATA: Final = "metadata"
"""The name_source of such a frame."""
_SIGNAL_RETURN = ("__restore_rt", "_sigtramp", "__kernel_rt_sigreturn")
_REASONS = 8


@dataclass
class ManagedFrames:
    """What came of it."""

    named: int = 0
    """Frames with a method's name."""
    by_token: int = 0
    """Frames whose method is known by its token only: its assembly's metadata is not at hand."""
    stubs: Set[int] = field(default_factory=set)
    """Addresses in stubs of the runtime: no method's code."""
    unnamed: int = 0
    """Frames in managed code, or what looks like it, that could not be named."""
    reasons: List[str] = field(default_factory=list)
    """Why, each reason once."""
    assemblies_lacking: Set[str] = field(default_factory=set)
    """Assemblies of frames known by token."""
    chain_ends: Dict[str, int] = field(default_factory=dict)
    """How the runtime's frame chains ended, and of how many threads (chain_names.py)."""

    @property
    def all(self) -> int:
        return self.named + self.by_token + self.unnamed


_Found = Tuple[Optional[str], Optional[Module], Optional[int], str]
"""(function, assembly, the code's start, named | token | stub | unnamed | native)."""


def name_frames(process: Process, view: ManagedView, threads: Optional[Sequence[Thread]] = None) -> ManagedFrames:
    """Put names on managed frames: of all threads, or of these."""
    result = ManagedFrames()
    naming = _Naming(view, result)
    for thread in process.threads if threads is None else threads:
        frames: Dict[int, Frame] = {}
        exact = True
        for index, frame in enumerate(thread.frames()):
            if _may_be_managed(frame):
                named = naming.frame(frame, exact)
                if named is not frame:
                    frames[index] = named
            exact = frame.function is not None and frame.function.startswith(_SIGNAL_RETURN)
        if frames:
            thread.tell_frames(frames.get(index, frame) for index, frame in enumerate(thread.frames()))
    return result


def _may_be_managed(frame: Frame) -> bool:
    if frame.name_source == "symbol":
        return False
    return frame.module is None or frame.module.name.lower().endswith((".dll", ".exe"))


class _Naming:
    def __init__(self, view: ManagedView, result: ManagedFrames) -> None:
        self._view = view
        self._result = result
        self._found: Dict[int, _Found] = {}
        self._assemblies: Dict[str, Module] = {}

    def frame(self, frame: Frame, exact: bool) -> Frame:
        address = frame.pc if exact else frame.pc - 1
        found = self._found.get(address)
        if found is None:
            found = self._found[address] = self._look(address, frame)
        function, assembly, start, kind = found
        result = self._result
        if kind == "native":
            return frame
        if kind == "stub":
            result.stubs.add(frame.pc)
        elif kind == "unnamed":
            result.unnamed += 1
        elif kind == "token":
            result.by_token += 1
        else:
            result.named += 1
        if function is None:
            return frame if frame.managed else frame._replace(managed=True)
        offset = frame.pc - start if start is not None else None
        return frame._replace(function=function, module=assembly, offset=offset, name_source=METADATA, managed=True)

    def _look(self, address: int, frame: Frame) -> _Found:
        code = self._view.code_at(address)
        if code.kind == "stub":
            return None, None, None, "stub"
        method = code.method
        if isinstance(method, Unknown):
            if code.kind is None and not frame.managed:
                return None, None, None, "native"
            if method.why not in self._result.reasons and len(self._result.reasons) < _REASONS:
                self._result.reasons.append(method.why)
            return None, None, None, "unnamed"
        by_token = not method.type_name and method.token != 0
        if by_token and method.module:
            self._result.assemblies_lacking.add(method.module)
        return method.full, self._assembly(method.path, method.module), code.start, "token" if by_token else "named"

    def _assembly(self, path: Optional[str], name: Optional[str]) -> Optional[Module]:
        """The frame's module: the assembly, which is no image with a place of its own."""
        key = path or name
        if key is None:
            return None
        if key not in self._assemblies:
            self._assemblies[key] = Module(key, None, None, None, None, "unverified")
        return self._assemblies[key]
