"""Names for frames of a stripped runtime, by what the code does. Each is marked inferred.

A walker's frame 0 is named by its loop's machine code (walk_code.py). A waiter's first frame of the runtime above libc is
`CrstBase::Enter` (in 3.1 to 9 `InternalEnterCriticalSection` stands before it: EnterCriticalSection tail-jumps); the frame above is
named by the chain-walk loop in the code around its return address. Above those stand, in every version read,
ResolveWorker, VSD_ResolveWorker and the assembly stub, then managed code (src/coreclr/vm/virtualcallstub.cpp): named only
where exactly that many frames stand before the first managed one. Functions that begin at one address share a name.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

from dumpwalk.core.names import plain
from dumpwalk.core.process import Frame, Process, Thread
from dumpwalk.coreclr.dispatch.loops import CHAIN_STUB, INSERT, PROMOTE_ENTRY, scan
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.locks.lock_frames import ENTER_NAMES, is_lock_frame
from dumpwalk.locks.state import LockState
from dumpwalk.locks.waits import Wait

_RESOLVE = "VirtualCallStubManager::ResolveWorker"
_VSD = "VSD_ResolveWorker"
_ASM_STUB = "ResolveWorkerAsmStub"
_ENTER = "CrstBase::Enter"
_PAL_ENTER = "CorUnix::InternalEnterCriticalSection"
_ABOVE = {INSERT: (_RESOLVE, _VSD, _ASM_STUB), PROMOTE_ENTRY: (_VSD, _ASM_STUB), CHAIN_STUB: ()}
_CODE_AFTER = 0x400
"""Insert and PromoteChainEntry are shorter than this; their loops stand behind the call of Enter."""


def infer(
    process: Process, runtime: Any, waits: Sequence[Wait], walkers: Sequence[Walker], lock: Optional[LockState]
) -> None:
    """Put inferred names on unnamed frames of the runtime, in place."""
    names = _Names(process, runtime)
    for walker in walkers:
        if walker.function and walker.function_source == "inferred":
            names.put(walker.thread, 0, walker.function)
            names.put_above(walker.thread, 0, walker.function)
    for wait in waits:
        if lock is not None and wait.lock is not None and wait.lock.address == lock.address:
            names.waiter(wait.thread)
    names.spread()


class _Names:
    def __init__(self, process: Process, runtime: Any) -> None:
        self._process = process
        self._base = runtime.base
        self._starts: Dict[int, str] = {}
        self._callers: Dict[int, Optional[str]] = {}

    def _ours(self, frame: Frame) -> bool:
        return frame.module is not None and frame.module.base == self._base

    def put(self, thread: Thread, index: int, name: str) -> None:
        frames = thread.frames()
        if index >= len(frames):
            return  # a thread that the debugger does not know has no frames
        frame = frames[index]
        if frame.name_source == "symbol" or frame.function:
            return
        named = frame._replace(function=name, name_source="inferred")
        thread.tell_frames((*frames[:index], named, *frames[index + 1 :]))
        if frame.offset is not None:
            self._starts[frame.pc - frame.offset] = name

    def put_above(self, thread: Thread, index: int, function: str) -> None:
        """The callers of Insert or PromoteChainEntry, up to managed code: all of them or none."""
        frames = thread.frames()
        chain = _ABOVE.get(function, ())
        above = frames[index + 1 : index + 1 + len(chain) + 1]
        if len(above) <= len(chain) or not above[-1].managed or not all(self._ours(f) for f in above[:-1]):
            return
        for position, name in enumerate(chain):
            self.put(thread, index + 1 + position, name)

    def waiter(self, thread: Thread) -> None:
        frames = thread.frames()
        first = next((i for i, f in enumerate(frames) if self._ours(f)), None)
        if first is None or first > 6 or any(f.name_source == "symbol" and self._ours(f) for f in frames[: first + 2]):
            return
        for enter in (first, first + 1):
            if enter + 1 >= len(frames):
                return
            caller = self._caller_function(frames[enter + 1].pc)
            if caller is not None and self._ours(frames[enter + 1]):
                if enter > first:
                    self.put(thread, first, _PAL_ENTER)
                self.put(thread, enter, _ENTER)
                self.put(thread, enter + 1, caller)
                self.put_above(thread, enter + 1, caller)
                return

    def _caller_function(self, pc: int) -> Optional[str]:
        """Insert or PromoteChainEntry, when the first chain-walk loop behind this return address is theirs."""
        if pc not in self._callers:
            code = self._process.code.read(pc, _CODE_AFTER) or self._process.code.read(pc, _CODE_AFTER // 4)
            loops = [] if code is None else scan(code, self._process.arch.name, pc)
            first = loops[0].function if loops else None
            self._callers[pc] = first if first in (INSERT, PROMOTE_ENTRY) else None
        return self._callers[pc]

    def spread(self) -> None:
        """Other frames of the same functions, in any thread."""
        if not self._starts:
            return
        for thread in self._process.threads:
            found = {}
            for index, frame in enumerate(thread.frames()):
                if frame.function is None and frame.offset is not None and self._ours(frame):
                    name = self._starts.get(frame.pc - frame.offset)
                    if name is not None:
                        found[index] = name
            if found:
                _put(thread, found)


def _put(thread: Thread, names: Dict[int, str]) -> None:
    """Inferred names for frames, by their place in the stack."""
    thread.tell_frames(
        frame._replace(function=names[index], name_source="inferred") if index in names else frame
        for index, frame in enumerate(thread.frames())
    )


def enters_lock(process: Process, thread: Thread, lock: int) -> Optional[str]:
    """How a thread that is in no system call is shown to be taking this lock: an Enter function is on its stack and the
    lock's address is in a register of that frame, of its caller, or of frame 0. None when it is not shown."""
    frames = thread.frames()
    entering = [i for i, f in enumerate(frames[:10]) if f.function and plain(f.function) in ENTER_NAMES]
    if not entering:
        return None
    last = entering[-1]
    for index in range(last + 2):
        if index >= len(frames):
            break
        for name in process.arch.general if index == 0 else process.arch.callee_saved:
            value = thread.registers.get(name) if index == 0 else frames[index].register(name)
            if value == lock:
                return f"{plain(frames[last].function or '')} is on its stack and {name} of frame {index} is 0x{lock:x}"
    return None


__all__ = ["enters_lock", "infer", "is_lock_frame"]
