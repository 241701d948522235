"""The thread numbers that a dump's memory itself gives, for the oracle and the mutators: x64 glibc only.

struct pthread of glibc lies at the thread pointer: two words that point at itself, links at 0x2C0, the tid at 0x2D0.
"""

from __future__ import annotations

from typing import Dict, Set

from tests.fuzz.dump_bytes import DumpBytes


def own_tids(dump: DumpBytes) -> Dict[int, int]:
    """Position of each thread with a control block to the tid in that."""
    found: Dict[int, int] = {}
    for position, thread in enumerate(dump.threads):
        if "fs_base" not in thread.registers:
            continue
        at = thread.value("fs_base")
        if dump.word(at) == at and dump.word(at + 0x10) == at:
            tid = dump.word(at + 0x2D0, 4)
            if tid:
                found[position] = tid
    return found


def living(dump: DumpBytes) -> Set[int]:
    """Numbers that no lock's owner may be called gone with: all of the control blocks, and of what those are linked to."""
    found = set(own_tids(dump).values())
    nodes = {dump.threads[p].value("fs_base") + 0x2C0 for p in own_tids(dump)}
    work = list(nodes)
    while work:
        node = work.pop()
        for link in (dump.word(node), dump.word(node + 8)):
            if link is None or link in nodes or len(nodes) > 100_000:
                continue
            block = link - 0x2C0
            if dump.word(block) == block and dump.word(block + 0x10) == block:
                nodes.add(link)
                work.append(link)
                found.add(dump.word(link + 0x10, 4) or 0)
    return found - {0}
