"""The loader's own list of images of a Linux process: a debugger finds by it what is loaded where.

Sources: glibc elf/link.h (r_debug, link_map), System V gABI (DT_DEBUG). The list is read for being kept; what it says is not
used here.
"""

from __future__ import annotations

import struct
from typing import Optional, Set

from dumpwalk import limits
from dumpwalk.core.memory import Memory, for_search, read_u64, read_words
from dumpwalk.core.process import Process
from dumpwalk.images.elf import PT_DYNAMIC, bias
from dumpwalk.images.elf_memory import program_headers

_DT_NULL, _DT_DEBUG = 0, 21
_ENTRIES = 512
_NAME = 4096


def read_link_map(process: Process) -> int:
    """Read every image's dynamic section, and the list that one of them leads to. How many images the list has."""
    heads: Set[int] = set()
    for module in process.modules[: limits.IMAGES]:
        if module.base is not None:
            head = _debug(process.memory, module.base)
            if head:
                heads.add(head)
    return sum(_follow(process.memory, head) for head in sorted(heads))


def _debug(memory: Memory, base: int) -> Optional[int]:
    """What DT_DEBUG holds: r_debug's address, in the program's own dynamic section only."""
    headers = program_headers(memory, base)
    dynamic = next((h for h in headers if h.kind == PT_DYNAMIC), None)
    if dynamic is None:
        return None
    at = (dynamic.address + bias(headers, base)) % (1 << 64)
    found = None
    for index in range(min(_ENTRIES, dynamic.memory_size // 16)):
        entry = memory.read(at + 16 * index, 16)
        if entry is None:
            break
        tag, value = struct.unpack("<QQ", entry)
        if tag == _DT_NULL:
            break
        if tag == _DT_DEBUG:
            found = value
    return found


def _follow(memory: Memory, debug: int) -> int:
    """r_debug {int version; link_map *map; brk; state; base}; link_map {l_addr, l_name, l_ld, l_next, l_prev}."""
    memory.read(debug, 40)
    node = read_u64(memory, debug + 8)
    seen: Set[int] = set()
    while node and node not in seen and len(seen) < limits.IMAGES:
        seen.add(node)
        words = read_words(memory, node, 5)
        if words is None:
            break
        _text(memory, words[1])
        node = words[3]
    return len(seen)


def _text(memory: Memory, address: int) -> None:
    """A name, read to its NUL."""
    tried = for_search(memory)
    for at in range(address, address + _NAME, 64):
        data = tried.read(at, 64) or tried.read(at, 1)
        size = len(data) if data is not None else 0
        end = data.find(b"\0") if data is not None else -1
        if data is None or memory.read(at, end + 1 if end >= 0 else size) is None or end >= 0:
            return
