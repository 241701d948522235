"""The transition frames that the runtime notes on a thread's stack where managed code calls native code.

Thread::m_pFrame leads to the innermost, each holds the address of the next further out, all ones end the list (vm/frames.h,
FRAME_TOP). Two kinds are read, each known by its form and not by its number or vtable alone:

* InlinedCallFrame, a P/Invoke under way: Frame, m_Datum at 0x10, then (8 has m_StubSecretArg between) m_pCallSiteSP,
  m_pCallerReturnAddress, m_pCalleeSavedFP. The return address lies in a managed method and the three fit the frame's own
  place. m_Datum is the P/Invoke's MethodDesc where the JIT made the call; precompiled code leaves it unset, so it is not
  looked at there.
* HelperMethodFrame (8, 9), an FCALL under way: m_pThread at 0x20 is the list's own thread, m_FCallEntry at 0x28.

Offsets read in cores of 8.0.4, 9.0.5, 9.0.20, 10.0.12 linux-x64.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.process import Process, Thread
from dumpwalk.coreclr.code.method_desc import MethodName
from dumpwalk.coreclr.contract import ContractResult
from dumpwalk.coreclr.managed_threads import read_threads
from dumpwalk.coreclr.runtime import RuntimeInfo

if TYPE_CHECKING:
    from dumpwalk.coreclr.managed import ManagedView

_TOP = (1 << 64) - 1
_WORDS = struct.Struct("<7Q")
_NEXT, _DATUM, _THREAD, _ENTRY = 1, 2, 4, 5
_SITES = (3, 4)
"""Words at which (call-site sp, return address, frame pointer) begin: 9 and later, 8."""
_KINDS = 64
"""Frame kinds are small numbers since 10; before, the first word is a vtable in the runtime's image."""
_REACH = 1 << 20
"""Bytes of a method's frame: from the call-site sp to the noted frame, and to the frame pointer."""

END, NOT_CAPTURED, NO_FRAME, LIMIT = "end", "not-captured", "no-frame", "limit"


class Call(NamedTuple):
    """A P/Invoke under way, as its caller noted it."""

    frame: int
    """Address of the InlinedCallFrame."""
    sp: int
    """The caller's stack pointer at the call."""
    pc: int
    """In the caller, at the call or some bytes before its return address."""
    fp: int
    caller: int
    """Where the caller's code begins."""
    target: Optional[MethodName]
    """The P/Invoke; None where the frame does not tell."""


class FCall(NamedTuple):
    """A function of the runtime under way that implements a method."""

    frame: int
    entry: int
    """Where that function begins."""


class Chain(NamedTuple):
    calls: Tuple[Call, ...]
    """Innermost first."""
    fcalls: Tuple[FCall, ...]
    end: str
    """Why the walk ended: end (all ones), not-captured, no-frame (a word that leads to none), limit."""


NO_CHAIN = Chain((), (), NOT_CAPTURED)


class FrameChains:
    """The lists of one process's threads; nothing is read before it is asked for, and everything once. Never raises."""

    def __init__(self, process: Process, runtime: RuntimeInfo, view: ManagedView, contract: ContractResult) -> None:
        self._process = process
        self._runtime = runtime
        self._contract = contract
        self._view = view
        self._image = range(*runtime.image.span())
        self._first = _first_frame(runtime.major, view)
        self._threads: Optional[Dict[int, int]] = None
        self._kept: Dict[int, Chain] = {}

    def of(self, thread: Thread) -> Chain:
        """A thread's list; empty for a thread that the runtime does not know, and for versions whose list is not known."""
        if self._first is None:
            return NO_CHAIN
        address = self._runtime_threads().get(thread.index)
        if address is None:
            return NO_CHAIN
        if address not in self._kept:
            self._kept[address] = self._walk(address, address + self._first)
        return self._kept[address]

    def _runtime_threads(self) -> Dict[int, int]:
        """The runtime's Thread by the index of a thread of the dump."""
        if self._threads is None:
            self._threads = {}
            for row in read_threads(self._process, self._runtime, self._contract).threads:
                known = self._process.thread_by_tid(row.os_tid) if row.os_tid is not None else None
                if known is not None:
                    self._threads[known.index] = row.address
        return self._threads

    def _walk(self, thread: int, head: int) -> Chain:
        calls: List[Call] = []
        fcalls: List[FCall] = []
        first = self._process.memory.read(head, 8)
        at = int.from_bytes(first, "little") if first is not None else None
        before, end = 0, LIMIT
        for _ in range(limits.TRANSITION_FRAMES):
            if at is None or at == _TOP:
                end = NOT_CAPTURED if at is None else END
                break
            if at & 7 or at <= max(before, 0xFFFF):  # outer frames lie higher on the stack
                end = NO_FRAME
                break
            data = self._process.memory.read(at, _WORDS.size)
            if data is None:
                end = NOT_CAPTURED
                break
            words = _WORDS.unpack(data)
            if words[0] >= _KINDS and words[0] not in self._image:
                end = NO_FRAME
                break
            call = self._call(at, words)
            if call is not None:
                calls.append(call)
            elif words[_THREAD] == thread and words[_ENTRY] in self._image and words[0] in self._image:
                fcalls.append(FCall(at, words[_ENTRY]))
            before, at = at, words[_NEXT]
        return Chain(tuple(calls), tuple(fcalls), end)

    def _call(self, at: int, words: Tuple[int, ...]) -> Optional[Call]:
        for site in _SITES:
            sp, pc, fp = words[site : site + 3]
            if not pc or sp & 7 or not sp <= at <= sp + _REACH or not sp <= fp <= sp + _REACH:
                continue
            code = self._view.code_at(pc)
            if code.kind not in ("jit", "r2r") or code.start is None or not isinstance(code.method, MethodName):
                continue
            target = self._target(words[_DATUM]) if code.kind == "jit" else None
            return Call(at, sp, pc, fp, code.start, target)
        return None

    def _target(self, datum: int) -> Optional[MethodName]:
        """The MethodDesc of a P/Invoke, when chunk, method table and metadata agree that it is one; by token alone it is not
        told."""
        if datum < 0x10000 or datum & 7:
            return None
        method = self._view.method_name(datum)
        return (
            method if isinstance(method, MethodName) and (method.kind, method.grade) == ("pinvoke", "proved") else None
        )


def _first_frame(major: Optional[int], view: ManagedView) -> Optional[int]:
    """Thread::m_pFrame; None for versions in which it was not looked for."""
    told = view.contract.offset("Thread", "Frame") if view.contract is not None else None
    if told is not None and 0 < told < 0x400:
        return told
    return {8: 0x10, 9: 8, 10: 8}.get(major or 0)


def resume_by(
    process: Process, view: ManagedView
) -> Callable[[Mapping[str, int]], Optional[Callable[[int], Optional[Tuple[int, int, int]]]]]:
    """For unwinding (unwinding/stack.py): by a thread's registers, the way to its noted callers."""
    sp_name = process.arch.sp
    by_sp = {thread.registers.get(sp_name): thread for thread in process.threads}

    def of(registers: Mapping[str, int]) -> Optional[Callable[[int], Optional[Tuple[int, int, int]]]]:
        thread = by_sp.get(registers.get(sp_name))
        if thread is None:
            return None

        def above(sp: int) -> Optional[Tuple[int, int, int]]:
            calls = view.frame_chains.of(thread).calls
            return next(((call.pc, call.sp, call.fp) for call in calls if call.sp > sp), None)

        return above

    return of
