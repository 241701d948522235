"""Is a program counter inside a loop that walks a DispatchCache bucket chain, and which register holds what?

Decided from machine code alone, so it works on stripped images of any version: a pattern is a list of instructions over
named roles (cursor, this, mt, ...), each role standing for one register throughout (`walk_patterns`). The loops were
read in libcoreclr 3.1.23, 8.0.30, 9.0.5, 10.0.9 and 10.0.12 (x64 and arm64, Linux glibc and musl, macOS). Sources:
vm/virtualcallstub.cpp (classes DispatchCache and VirtualCallStubManager),
vm/amd64/virtualcallstubamd64.S and its arm64 counterpart (ResolveWorkerChainLookupAsmStub).
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from dumpwalk.core.arch import Arch
from dumpwalk.core.memory import Memory, captured_run
from dumpwalk.coreclr.dispatch import instructions as ins
from dumpwalk.coreclr.dispatch.loop_patterns import LEAST_EMPTY, PATTERNS, PROMOTE, STUB, Match, Pattern, match_loop
from dumpwalk.dataclass import dataclass

INSERT = "DispatchCache::Insert"
LOOKUP = "DispatchCache::Lookup"
CACHE_LOOKUP = "VirtualCallStubManager::CacheLookup"
GET_TARGET = "VirtualCallStubManager::GetTarget"
PROMOTE_ENTRY = "DispatchCache::PromoteChainEntry"
CHAIN_STUB = "ResolveWorkerChainLookupAsmStub"

_LONGEST_LOOP = 48
_BEFORE, _AFTER = 160, 96
"""Bytes read around a pc; only the loop itself is needed, the rest names more registers (Insert reads its element's key
up to 0x5C bytes before the loop)."""


@dataclass(frozen=True)
class WalkLoop:
    """One chain-walk loop. Registers carry lldb's names; addresses are those of the code that was read."""

    kind: str
    """chain (ends at the cache's `empty`), promote (ends at its element), stub (ends at null)."""
    start: int
    end: int
    """Just behind the loop's last instruction."""
    cursors: Tuple[Tuple[str, int], ...]
    """(register, bias) at the pc asked for: register - bias is a node of the chain. From `scan`: at `start`."""
    mt: Optional[str]
    """Register with the MethodTable that is looked for."""
    token: Optional[str]
    this: Optional[str] = None
    """Register with the DispatchCache."""
    element: Optional[str] = None
    """Register with the element to be inserted or promoted."""
    empty_offset: Optional[int] = None
    """Bytes from `this` to DispatchCache::empty, where the code holds it."""
    empty_register: Optional[str] = None
    """arm64: register with that offset."""
    table_register: Optional[str] = None
    """Register with &cache[0], where the code keeps one."""
    function: Optional[str] = None
    """The function by what its code does: always an inferred name."""

    @property
    def holds_lock(self) -> Optional[bool]:
        """Whether a thread here is inside the cache's m_writeLock; None when the function could not be told."""
        if self.function is None:
            return None
        return self.function in (INSERT, PROMOTE_ENTRY)

    @property
    def table_offset(self) -> Optional[int]:
        """Bytes from `this` to cache[0]."""
        return None if self.empty_offset is None else self.empty_offset - LEAST_EMPTY

    def nodes(self, registers: Mapping[str, int]) -> List[int]:
        """The chain nodes that the registers point at, the most telling first."""
        values = ((registers.get(name), bias) for name, bias in self.cursors)
        return [value - bias for value, bias in values if value is not None and value >= bias]

    def cache(self, registers: Mapping[str, int]) -> Optional[int]:
        """Address of the DispatchCache, None where no register tells."""
        if self.this is not None and self.this in registers:
            return registers[self.this]
        if self.table_register is not None and self.table_register in registers and self.table_offset is not None:
            return registers[self.table_register] - self.table_offset
        return None


# Where a loop's load of pNext can stand, cheap enough for a whole text section; `match_loop` decides.
_X64_HINTS = re.compile(
    rb"\x8b[\x40-\x7f]\x24?\x18[\x48-\x4f](?:\x3b[\x80-\xbf]|\x85[\xc0-\xff])"
    rb"|\x83[\xc0-\xc7]\x18[\x48-\x4f][\x39\x3b][\xc0-\xff][\x0f\x75]"
)
_ARM64_HINTS = re.compile(
    rb"\x00\x91.(?:[\xfc-\xff]\xdf\xc8|[\xc0-\xc3]\xbf\xf8)|\x40\xf9.[\x00-\x03]\x00\xf1..\x00\x54", re.DOTALL
)


def walk_loop_at(code: Memory, arch: Arch, pc: int) -> Optional[WalkLoop]:
    """The chain-walk loop that `pc` (the next instruction to run) stands in.

    None when it stands in none, and also when the bytes around it are in neither the dump nor a matched file:
    `code.read(pc, 1)` tells these apart.
    """
    start, window = _window(code, pc)
    before = pc - start
    step = arch.min_instruction
    for at in range(before, max(-1, before - _LONGEST_LOOP), -step):
        for loop in _loops_at(window, arch.name, at, start):
            if loop.start <= pc < loop.end:
                cursors = _cursors_at(window, arch.name, at, start, pc)
                if cursors is not None:
                    return _with_cursors(loop, cursors)
    return None


def _window(code: Memory, pc: int) -> Tuple[int, bytes]:
    """(address, bytes) of the code around `pc`, cut where the captured run ends."""
    whole = code.read(pc - _BEFORE, _BEFORE + _AFTER)
    if whole is not None:
        return pc - _BEFORE, whole
    found = captured_run(code, pc)
    if found is None:
        return pc, b""
    start, end = max(pc - _BEFORE, found[0]), min(pc + _AFTER, found[1])
    return start, code.read(start, end - start) or b""


def scan(text: bytes, machine: str, address: int = 0) -> List[WalkLoop]:
    """All chain-walk loops in a run of code that is loaded at `address`; `machine` is x86_64 or aarch64."""
    found: Dict[int, WalkLoop] = {}
    for hint in (_X64_HINTS if machine == "x86_64" else _ARM64_HINTS).finditer(text):
        if machine == "x86_64":
            starts: Sequence[int] = range(hint.start(), max(-1, hint.start() - 18), -1)
        else:
            starts = [hint.start() - 2]
        for start in starts:
            if start >= 0 and (machine == "x86_64" or start % 4 == 0):
                for loop in _loops_at(text, machine, start, address):
                    found[loop.start] = loop
    return [found[start] for start in sorted(found)]


def _loops_at(text: bytes, machine: str, start: int, address: int) -> Iterator[WalkLoop]:
    for pattern in PATTERNS[machine]:
        match = match_loop(text, machine, pattern, start)
        if match is not None:
            yield _describe(text, machine, pattern, match, address)


def _cursors_at(text: bytes, machine: str, start: int, address: int, pc: int) -> Optional[Tuple[Tuple[str, int], ...]]:
    for pattern in PATTERNS[machine]:
        match = match_loop(text, machine, pattern, start)
        if match is not None and pc - address in match.offsets[:-1]:
            step = pattern.steps[match.offsets.index(pc - address)]
            return tuple((match.roles[role], bias) for role, bias in step.cursors)
    return None


def _with_cursors(loop: WalkLoop, cursors: Tuple[Tuple[str, int], ...]) -> WalkLoop:
    return WalkLoop(**{**loop.__dict__, "cursors": cursors})


def _describe(text: bytes, machine: str, pattern: Pattern, match: Match, address: int) -> WalkLoop:
    roles, start, end = match.roles, match.offsets[0], match.offsets[-1]
    this, element, empty = roles.get("this"), roles.get("element"), match.empty
    table = None
    if pattern.kind == PROMOTE:
        this, table, empty = _promote_context(text, machine, start, end, roles["element"])
    elif machine == "aarch64" and "empty_register" in roles:
        empty = _constant_before(text, start, roles["empty_register"])
    function = _function_of(pattern.kind, machine, this, roles.get("mt"), roles.get("token"))
    if function == INSERT:
        element = _insert_element(text, machine, start, roles["mt"], roles["token"])
    return WalkLoop(
        kind=pattern.kind,
        start=address + start,
        end=address + end,
        cursors=tuple((roles[role], bias) for role, bias in pattern.steps[0].cursors),
        mt=roles.get("mt"),
        token=roles.get("token"),
        this=this,
        element=element,
        empty_offset=empty,
        empty_register=roles.get("empty_register"),
        table_register=table,
        function=function,
    )


_SAVED = {
    "x86_64": ("rbx", "r12", "r13", "r14", "r15"),
    "aarch64": tuple(f"x{i}" for i in range(19, 29)),
}
_STEP = {"x86_64": 1, "aarch64": 4}
_ARGUMENTS = {"x86_64": ("rdi", "rsi", "rdx", "rcx"), "aarch64": ("x0", "x1", "x2", "x3")}


def _function_of(
    kind: str, machine: str, this: Optional[str], mt: Optional[str], token: Optional[str]
) -> Optional[str]:
    """Which function a loop is in, by where the calling convention left its values.

    Insert called CrstBase::Enter before: the cache is in a callee-saved register, the key was read from the element
    after it. Lookup(this, token, hash, mt) and CacheLookup(token, hash, mt) still have their arguments where they came
    in. GetTarget(token, mt) keeps both across its switch to cooperative mode; it has the cache from the global.
    """
    if kind == PROMOTE:
        return PROMOTE_ENTRY
    if kind == STUB:
        return CHAIN_STUB
    saved, arguments = _SAVED[machine], _ARGUMENTS[machine]
    if this in saved and mt not in saved and token not in saved:
        return INSERT
    if this in saved:
        return None
    if mt in saved and token in saved:
        return GET_TARGET
    if (this, token, mt) == (arguments[0], arguments[1], arguments[3]):
        return LOOKUP
    if (token, mt) == (arguments[0], arguments[2]):
        return CACHE_LOOKUP
    return None


def _promote_context(
    text: bytes, machine: str, start: int, end: int, element: str
) -> Tuple[Optional[str], Optional[str], Optional[int]]:
    """(this, register with &cache[0], offset of `empty`) from the store cache[bucket] = element behind the loop."""
    decode = ins.decoder_for(machine)
    for at in range(end, min(end + 40, len(text)), _STEP[machine]):
        found = decode(text, at)
        if found is None or found.operation != ins.STORE or found.register != element or found.index is None:
            continue
        if machine == "x86_64":
            return found.base, None, found.value + LEAST_EMPTY if found.value > 0 else None
        for back in range(start - 4, max(-1, start - 64), -4):
            base = decode(text, back)
            if base is not None and base.operation == ins.ADD and base.register == found.base:
                return base.base, found.base, base.value + LEAST_EMPTY
        return None, found.base, None
    return None, None, None


def _constant_before(text: bytes, start: int, register: str) -> Optional[int]:
    """The last constant moved into an arm64 register in the 20 instructions before `start`."""
    for at in range(start - 4, max(-1, start - 84), -4):
        found = ins.decode_arm64(text, at)
        if found is not None and found.operation == ins.SET and found.register == register:
            return found.value if found.value >= LEAST_EMPTY else None
    return None


def _insert_element(text: bytes, machine: str, start: int, mt: str, token: str) -> Optional[str]:
    """The register of Insert's element: the key was loaded from it, mt and token together."""
    decode = ins.decoder_for(machine)
    for at in range(start, max(-1, start - _BEFORE), -_STEP[machine]):
        found = decode(text, at)
        if found is None or found.value != 0 or found.register != mt or found.index is not None:
            continue
        if found.operation == ins.LOAD_PAIR and found.second == token:
            return found.base
        if found.operation == ins.LOAD:
            other = decode(text, at + found.length)
            if other is not None and (other.operation, other.register, other.base, other.value) == (
                ins.LOAD,
                token,
                found.base,
                8,
            ):
                return found.base
    return None
