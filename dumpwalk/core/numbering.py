"""Do the dump's notes number threads as the process's memory does, and are all threads there?

A lock's owner word is in the process's own numbering. gdb's gcore of a container's process from the host writes the host's
numbers into the notes. What shows either is each thread's own control block (libc_threads.py); where a dump lacks those,
the runtime's own thread list may show it later (`confirm`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from typing import Dict, List, Optional, Sequence, Set

from dumpwalk.core.libc_threads import ControlBlock, control_block, listed_tids
from dumpwalk.dataclass import dataclass

AGREES, MAPPED, MIXED, UNKNOWN = "agrees", "mapped", "mixed", "unknown"


@dataclass
class Numbering:
    """Threads by the number that memory gives them."""

    status: str
    """agrees; mapped (another pid namespace's notes, translated thread by thread); mixed (some notes or blocks are damaged);
    unknown (no control block is in the dump)."""
    own: Dict[int, int] = field(default_factory=dict)
    """Thread index to the number in its own control block."""
    position: Dict[int, int] = field(default_factory=dict)
    """Number, as memory writes it, to the position in the list of threads."""
    disputed: Set[int] = field(default_factory=set)
    """Numbers that only one of a thread's two sources gives: whose they are is not known."""
    listed: Optional[Set[int]] = None
    """The C library's own list of living threads; None where the dump does not hold all of it."""
    missing: List[int] = field(default_factory=list)
    """Numbers in that list of which the dump has no thread."""
    complete: bool = False
    """The C library's list was read whole, and every thread of it is here."""
    unnumbered: bool = False
    """Some threads of the dump have no number of their own: a position at most."""
    confirmed: Optional[str] = None
    """What else shows that the numbers agree, where there is no control block."""

    @property
    def shown(self) -> bool:
        """Whose number it is may be claimed."""
        return self.status in (AGREES, MAPPED) or self.confirmed is not None

    def may_be_missing(self, number: int) -> bool:
        """A number that no thread has here, and that is yet not shown to be gone: its thread lacks in the dump, or two
        sources differ on it."""
        return number in self.disputed or number in self.missing

    def confirm(self, how: str) -> None:
        """Another list of the process names the notes' own numbers. Only where no control block says otherwise."""
        if self.status == UNKNOWN:
            self.confirmed = how

    def sentence(self, count: int) -> str:
        """For the report's coverage."""
        if self.status == MAPPED:
            return (
                f"their numbers in the dump are another pid namespace's: mapped by each of {count} threads' own record, "
                "and lock owners are named in the process's numbers"
            )
        if self.status == MIXED:
            return f"{len(self.disputed) // 2 or 1} of them numbered differently by their own record and by the dump's notes"
        if self.status == AGREES and self.complete:
            return "as the C library's own list has them"
        if self.status == UNKNOWN and self.confirmed:
            return f"numbered as in {self.confirmed}"
        return ""


def read_numbering(threads: Sequence, memory: object, arch: object, system: str, pid: Optional[int]) -> Numbering:
    """Compare the notes of `threads` with what memory says of them. Reads one block a thread and the lists that link them."""
    found = _read(threads, memory, arch, system, pid)
    found.unnumbered = any(t.tid is None or t.tid_source == "synthetic" for t in threads)
    return found


def _read(threads: Sequence, memory: object, arch: object, system: str, pid: Optional[int]) -> Numbering:
    notes = {
        at: t.tid & 0xFFFFFFFF for at, t in enumerate(threads) if t.tid is not None and t.tid_source != "synthetic"
    }
    if system != "linux":
        # one numbering for the whole system: there are no pid namespaces
        return Numbering(AGREES if notes else UNKNOWN, position={tid: at for at, tid in notes.items()})
    blocks: Dict[int, ControlBlock] = {}
    for at, thread in enumerate(threads):
        block = control_block(memory, arch, thread.registers)  # type: ignore[arg-type]
        if block is not None:
            blocks[at] = block
    if not blocks:
        return Numbering(UNKNOWN, position={tid: at for at, tid in notes.items()})
    found = _compared(notes, blocks)
    found.own = {threads[at].index: block.tid for at, block in blocks.items()}
    found.listed = listed_tids(memory, arch, list(blocks.values()))  # type: ignore[arg-type]
    if found.listed is not None:
        here = set(found.position) | found.disputed
        found.missing = sorted(found.listed - here)
        main = next((found.own.get(t.index) for t in threads if t.tid is not None and t.tid == pid), None)
        found.complete = not found.missing and found.status != MIXED and main in found.listed
    return found


def _compared(notes: Dict[int, int], blocks: Dict[int, ControlBlock]) -> Numbering:
    same = {at for at, block in blocks.items() if notes.get(at) == block.tid}
    differ = {at for at in blocks if at in notes and at not in same}
    counts = Counter(block.tid for block in blocks.values())
    twice = any(n > 1 for n in counts.values())
    if differ and not same and not twice and len(blocks) == len(notes):
        return Numbering(MAPPED, position={block.tid: at for at, block in blocks.items()})
    if not differ and not twice:
        position = {tid: at for at, tid in notes.items()}
        position.update({block.tid: at for at, block in blocks.items()})
        return Numbering(AGREES, position=position)
    # damage: a number that both give, or that only one gives and nobody disputes, still stands
    found = Numbering(MIXED)
    for at, tid in notes.items():
        if at in same or at not in blocks:
            found.position[tid] = at
    for at in sorted(differ):
        found.disputed |= {notes[at], blocks[at].tid}
    found.disputed |= {tid for tid, n in counts.items() if n > 1}
    for tid in found.disputed:
        found.position.pop(tid, None)
    return found
