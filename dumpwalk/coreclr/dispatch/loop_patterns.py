"""What chain-walk loops look like as instructions over named roles, and how such a pattern is matched against code.

A role (cursor, this, mt, token, ...) stands for one register throughout a loop, whichever the compiler took. Seen in
libcoreclr 3.1.23, 8.0.30, 9.0.5, 10.0.9 and 10.0.12, x64 and arm64. Source of what the loops do: vm/virtualcallstub.h
(ResolveCacheElem: pMT 0, token 8, target 0x10, pNext 0x18) and the functions that `walk_code` names.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Tuple

from dumpwalk.coreclr.dispatch import instructions as ins
from dumpwalk.dataclass import dataclass

CHAIN, PROMOTE, STUB = "chain", "promote", "stub"
LEAST_EMPTY = 0x8000
"""DispatchCache::empty lies behind 4096 slots of 8 bytes."""

_NEXT = 0x18


@dataclass(frozen=True)
class Step:
    """One instruction of a pattern; names stand for registers, `value` is fixed or, as a name, captured."""

    operation: int
    register: Optional[str] = None
    base: Optional[str] = None
    value: object = None
    index: Optional[str] = None
    second: Optional[str] = None
    cursors: Tuple[Tuple[str, int], ...] = (("cursor", 0),)
    """Roles that point at a node before this instruction runs."""


@dataclass(frozen=True)
class Pattern:
    kind: str
    steps: Tuple[Step, ...]


_TOP, _OUT = "top", "out"
_SLOT_AND_NODE = (("slot", _NEXT), ("next", 0))
_LOAD_NEXT = Step(ins.LOAD, "cursor", "cursor", _NEXT)
_END_X64 = Step(ins.COMPARE_MEMORY, "cursor", "this", "empty")
_KEY_X64 = (
    Step(ins.COMPARE_MEMORY, "mt", "cursor", 0),
    Step(ins.JUMP_UNEQUAL, value=_TOP),
    Step(ins.COMPARE_MEMORY, "token", "cursor", 8),
    Step(ins.JUMP_UNEQUAL, value=_TOP),
)
_X64 = (
    Pattern(CHAIN, (_LOAD_NEXT, _END_X64, Step(ins.JUMP_EQUAL, value=_OUT), *_KEY_X64)),
    Pattern(  # clang rotated Lookup and CacheLookup of 3.1 so: the key first, the end of the chain last
        CHAIN,
        (
            _KEY_X64[0],
            Step(ins.JUMP_UNEQUAL, value="step 4"),
            _KEY_X64[2],
            Step(ins.JUMP_EQUAL, value=_OUT),
            _LOAD_NEXT,
            _END_X64,
            Step(ins.JUMP_UNEQUAL, value=_TOP),
        ),
    ),
    Pattern(STUB, (_LOAD_NEXT, Step(ins.COMPARE_ZERO, "cursor"), Step(ins.JUMP_EQUAL, value=_OUT), *_KEY_X64)),
    Pattern(
        PROMOTE,
        (
            Step(ins.LOAD, "slot", "slot", 0, cursors=_SLOT_AND_NODE),
            Step(ins.LOAD, "next", "slot", _NEXT, cursors=(("slot", 0),)),
            Step(ins.ADD, "slot", "slot", _NEXT, cursors=(("slot", 0), ("next", 0))),
            Step(ins.COMPARE, "element", "next", cursors=_SLOT_AND_NODE),
            Step(ins.JUMP_UNEQUAL, value=_TOP, cursors=_SLOT_AND_NODE),
        ),
    ),
)
_KEY_ARM64 = (
    Step(ins.LOAD, "scratch", "cursor", 0),
    Step(ins.COMPARE, "scratch", "mt"),
    Step(ins.JUMP_UNEQUAL, value=_TOP),
    Step(ins.LOAD, "scratch", "cursor", 8),
    Step(ins.COMPARE, "scratch", "token"),
    Step(ins.JUMP_UNEQUAL, value=_TOP),
)
_END_ARM64 = (
    Step(ins.LOAD, "scratch", "this", 0, index="empty_register"),
    Step(ins.COMPARE, "scratch", "cursor"),
    Step(ins.JUMP_EQUAL, value=_OUT),
)
_ARM64 = (
    Pattern(
        CHAIN,
        (
            Step(ins.ADD, "cursor", "cursor", _NEXT),
            Step(ins.LOAD, "cursor", "cursor", 0, cursors=(("cursor", _NEXT),)),
            *_END_ARM64,
            *_KEY_ARM64,
        ),
    ),
    Pattern(
        STUB,
        (
            _LOAD_NEXT,
            Step(ins.COMPARE_ZERO, "cursor"),
            Step(ins.JUMP_EQUAL, value=_OUT),
            Step(ins.LOAD_PAIR, "scratch", "cursor", 0, second="scratch2"),
            Step(ins.COMPARE, "scratch", "mt"),
            Step(ins.JUMP_UNEQUAL, value=_TOP),
            Step(ins.COMPARE, "scratch2", "token"),
            Step(ins.JUMP_UNEQUAL, value=_TOP),
        ),
    ),
    Pattern(
        PROMOTE,
        (
            Step(ins.ADD, "slot", "next", _NEXT, cursors=(("next", 0),)),
            Step(ins.LOAD, "next", "slot", 0, cursors=(("slot", _NEXT), ("next", 0))),
            Step(ins.COMPARE, "element", "next", cursors=_SLOT_AND_NODE),
            Step(ins.JUMP_UNEQUAL, value=_TOP, cursors=_SLOT_AND_NODE),
        ),
    ),
)

PATTERNS: Mapping[str, Tuple[Pattern, ...]] = {"x86_64": _X64, "aarch64": _ARM64}


@dataclass
class Match:
    roles: Dict[str, str]
    empty: Optional[int]
    offsets: List[int]
    """Offset of each instruction, and of the end."""


def match_loop(text: bytes, machine: str, pattern: Pattern, start: int) -> Optional[Match]:
    decode = ins.decoder_for(machine)
    match = Match({}, None, [start])
    jumps = []
    at = start
    for step in pattern.steps:
        found = decode(text, at)
        if found is None or found.operation != step.operation or not _bind(match.roles, step, found):
            return None
        if step.operation in (ins.JUMP_EQUAL, ins.JUMP_UNEQUAL):
            jumps.append((step.value, at + found.value))
        elif step.value == "empty":
            match.empty = found.value
        elif (step.value or 0) != found.value:
            return None
        at += found.length
        match.offsets.append(at)
    if match.empty is not None and match.empty < LEAST_EMPTY:
        return None
    return match if all(_target_fits(match.offsets, where, target) for where, target in jumps) else None


def _target_fits(offsets: List[int], where: object, target: int) -> bool:
    if where == _TOP:
        return target == offsets[0]
    if where == _OUT:
        return not offsets[0] <= target < offsets[-1]
    return target == offsets[int(str(where).split()[1])]


def _bind(roles: Dict[str, str], step: Step, found: ins.Instruction) -> bool:
    """Whether the instruction's registers agree with the roles bound so far; binds new ones."""
    first, base = found.register, found.base
    if step.operation == ins.COMPARE and (_clashes(roles, step.register, first) or _clashes(roles, step.base, base)):
        first, base = base, first  # a comparison for equality may be written either way round
    pairs = ((step.register, first), (step.base, base), (step.index, found.index), (step.second, found.second))
    for role, register in pairs:
        if role is None and register is None:
            continue
        if role is None or register is None or _clashes(roles, role, register):
            return False
        roles[role] = register
    return True


def _clashes(roles: Mapping[str, str], role: Optional[str], register: Optional[str]) -> bool:
    if role is None:
        return False
    if role in roles:
        return roles[role] != register
    return register in roles.values()
