"""Frames without unwind data: the frame-pointer chain, and where a function keeps none, a scan of the stack.

Used to go on where lldb stops (R2R code of a gcore has no bytes, musl's libc has no unwind tables, a macOS dump has no
system libraries) and for the analysis without lldb. Each frame's trust is told: fp or scan.
"""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.arch import Arch
from dumpwalk.core.memory import Memory, read_words

IsCode = Callable[[int], bool]

_SCAN_RECORDS = 64
"""Frame records tried in one stack scan."""


def strip_pac(arch: Arch, address: int, mask: int = 0) -> int:
    """A code address without pointer-authentication bits: 47 bits on macOS, 48 on Linux, or by the core's own mask."""
    if arch.name != "aarch64":
        return address
    return address & ~mask & 0x0000FFFFFFFFFFFF if mask else address & 0x0000FFFFFFFFFFFF


def after_call(arch: Arch, code: Memory, address: int) -> Optional[bool]:
    """Is the instruction before `address` a call? None when those bytes are not known."""
    if arch.name == "aarch64":
        data = code.read(address - 4, 4)
        if data is None:
            return None
        word = int.from_bytes(data, "little")
        return word >> 26 == 0b100101 or word & 0xFFFFFC1F == 0xD63F0000 or word & 0xFFFFF800 == 0xD73F0800
    data = code.read(address - 7, 7)
    if data is None:
        data = code.read(address - 5, 5)
        if data is None:
            return None
        data = b"\0\0" + data
    if data[2] == 0xE8:
        return True
    for length in (2, 3, 4, 6, 7):  # call r/m64, with and without REX, SIB and displacement
        tail = data[7 - length :]
        if tail[0] == 0x41 and length > 2:
            tail = tail[1:]
        if tail[0] == 0xFF and tail[1] >> 3 & 7 == 2 and len(tail) == _modrm_length(tail):
            return True
    return False


def _modrm_length(tail: bytes) -> int:
    mod, rm = tail[1] >> 6, tail[1] & 7
    length = 2
    if mod != 3 and rm == 4:
        if len(tail) < 3:
            return -1
        length += 1
        if mod == 0 and tail[2] & 7 == 5:
            length += 4
    elif mod == 0 and rm == 5:
        length += 4
    return length + {1: 1, 2: 4}.get(mod, 0)


def follow_frame_pointers(
    arch: Arch, memory: Memory, fp: int, is_code: IsCode, low: int, room: int, pac_mask: int = 0
) -> List[Tuple[int, int]]:
    """(return address, frame pointer of the caller) up the chain of saved frame pointers.

    Ends at the first pair that is not captured, does not grow, or leads to no code. `low` is the lowest stack address a
    frame may have; `room` bounds the number of frames.
    """
    found: List[Tuple[int, int]] = []
    while len(found) < room and fp >= low and not fp & 7:
        pair = read_words(memory, fp, 2)
        if pair is None:
            break
        saved, back = pair
        back = strip_pac(arch, back, pac_mask)
        if not is_code(back):
            break
        found.append((back, saved))
        if saved <= fp:
            break
        low, fp = fp + 16, saved
    return found


def scan_for_chain(
    arch: Arch, memory: Memory, code: Memory, sp: int, is_code: IsCode, room: int, pac_mask: int = 0
) -> List[Tuple[int, int, str, int]]:
    """(return address, frame pointer of the caller, trust, its stack pointer) of a stack whose innermost function
    keeps no frame pointer.

    A frame record is two neighbouring words: a frame pointer that lies higher on this stack, then the address behind a
    call. Old data on the stack looks like one too, so the record with the longest chain above it is taken, the lowest of
    equal ones; and the return address nearest below it, which is the innermost call that can still be told.
    """
    words = _stack_words(memory, sp)
    top = sp + (8 << 20)
    best: List[Tuple[int, int]] = []
    best_slot = tried = 0
    for index in range(len(words) - 1):
        slot, saved = sp + 8 * index, words[index]
        if not slot < saved < top or saved & 7:
            continue
        back = strip_pac(arch, words[index + 1], pac_mask)
        if not is_code(back) or after_call(arch, code, back) is False:
            continue
        chain = follow_frame_pointers(arch, memory, slot, is_code, slot, room, pac_mask)
        if len(chain) > len(best):
            best, best_slot = chain, slot
        tried += 1
        if tried >= _SCAN_RECORDS:
            break
    found = []
    for position, (back, saved) in enumerate(best):
        found.append((back, saved, "fp" if position else "scan", best_slot + 16))
        best_slot = saved
    best_slot = found[0][3] - 16 if found else sp
    for index in range((best_slot - sp) // 8 - 1, -1, -1):
        back = strip_pac(arch, words[index], pac_mask)
        if is_code(back) and after_call(arch, code, back) is not False:
            return [(back, best_slot, "scan", sp + 8 * index + 8), *found][:room]
    return found


def _stack_words(memory: Memory, sp: int) -> Sequence[int]:
    """What is captured of the stack above `sp`, at most limits.STACK_SCAN_BYTES of it."""
    size = limits.STACK_SCAN_BYTES
    while size >= 64:
        words = read_words(memory, sp, size // 8)
        if words is not None:
            return words
        size //= 2
    return ()
