"""Changes that mean something: who owns a lock, what kind of lock it is, which threads the notes tell of and by which numbers.

Unlike flipped bits these give dumps that look whole and say something else, which is what leads to false proofs.
"""

from __future__ import annotations

import random
import struct
from typing import List, Optional, Tuple

from tests.fuzz.mutation import Mutation
from tests.fuzz.numbers import own_tids
from tests.fuzz.subjects import Subject

Random = random.Random
Patches = List[Tuple[int, bytes]]

_KINDS = (0, 1, 2, 3, 0x10, 0x11, 0x20, 0x21, 0x40, 0x80, 0x81, 0x90, 0x100, 0x200, 0x400, 0x7FFFFFFF)


def _number(value: int) -> bytes:
    return struct.pack("<I", value & 0xFFFFFFFF)


def _mutex(subject: Subject, rng: Random) -> Optional[int]:
    rows = [k for k in subject.report["locks"] if k["implementation"] in ("glibc-mutex", "musl-mutex")]
    return int(rng.choice(rows)["address"], 16) if rows else None


def owner(subject: Subject, rng: Random) -> Optional[Mutation]:
    """The owner of a mutex is somebody else: another thread, the waiter, the parent, one that is near, or a small number."""
    at = _mutex(subject, rng)
    tids = [t.tid for t in subject.dump.threads if t.tid]
    if at is None or not tids:
        return None
    near = max(tids) + rng.choice((-3, -1, 1, 2, 40, 5000))
    new = rng.choice(
        [rng.choice(tids), rng.choice(tids), near, min(tids) - rng.choice((1, 2, 900)), rng.randrange(1, 300)]
    )
    patches: Patches = []
    for address, value in ((at + 8, new), *(((at + 12, rng.choice((0, 1, 2))),) if rng.random() < 0.3 else ())):
        offset = subject.dump.offset_of(address, 4)
        if offset is None:
            return None
        patches.append((offset, _number(value)))
    return Mutation("owner", f"the mutex at {at:#x} is owned by {new}", patches)


def lock_kind(subject: Subject, rng: Random) -> Optional[Mutation]:
    at = _mutex(subject, rng)
    offset = subject.dump.offset_of(at + 16, 4) if at is not None else None
    if at is None or offset is None:
        return None
    new = rng.choice(_KINDS)
    return Mutation("lock-kind", f"the mutex at {at:#x} is of kind {new:#x}", [(offset, _number(new))])


def thread_note(subject: Subject, rng: Random) -> Optional[Mutation]:
    """A thread's note is lost, or has another number, or another's."""
    dump = subject.dump
    if dump.format != "elf":
        return None
    index = rng.randrange(len(dump.threads))
    thread = dump.threads[index]
    start = thread.span[0]
    choice = rng.choice(("lost", "bit", "another's", "zero", "swapped"))
    other = rng.choice(dump.threads)
    place = start + 20 + 32
    tid = thread.tid or 0
    if choice == "lost":
        patches: Patches = [(start + 8, _number(0x7777))]
    elif choice == "swapped":
        patches = [(place, _number(other.tid or 0)), (other.span[0] + 20 + 32, _number(tid))]
    else:
        new = {"bit": tid ^ 1 << rng.randrange(22), "another's": other.tid or 0, "zero": 0}[choice]
        patches = [(place, _number(new))]
    return Mutation("thread-note", f"the note of thread {index + 1} is {choice}", patches)


def numbering(subject: Subject, rng: Random) -> Optional[Mutation]:
    """All notes in the numbering of another pid namespace, with the process's own id among them: nothing else changes, so
    where every thread has its own record the verdict has to stay."""
    dump = subject.dump
    if dump.format != "elf" or not dump.threads:
        return None
    first = min(t.tid or 0 for t in dump.threads)
    base = rng.choice((1, 7, 300, first + 1, first + 20_000, 100_000))
    tids = sorted({t.tid or 0 for t in dump.threads})
    gaps = [base]
    for before, after in zip(tids, tids[1:]):
        gaps.append(gaps[-1] + (after - before if rng.random() < 0.5 else rng.randrange(1, 9)))
    new = dict(zip(tids, gaps))
    if any(new[t] == t for t in tids):
        return None
    patches = [(t.span[0] + 20 + 32, _number(new[t.tid or 0])) for t in dump.threads]
    for start, _ in dump.notes:
        kind, pid = (
            struct.unpack_from("<I", dump.data, start + 8)[0],
            struct.unpack_from("<I", dump.data, start + 44)[0],
        )
        if kind == 3 and dump.data[start + 12 : start + 16] == b"CORE" and pid in new:
            patches.append((start + 44, _number(new[pid])))
    whole = len(own_tids(dump)) == len(dump.threads)
    return Mutation("numbering", f"the notes number threads from {base}", patches, same=whole)
