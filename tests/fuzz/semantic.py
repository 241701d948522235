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

_FUTEX = 202
_NT_FILE = 0x46494C45
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


def _sleepers(subject: Subject) -> List[int]:
    """Positions of threads of x64 Linux in futex(2)."""
    threads = subject.dump.threads
    return [at for at, t in enumerate(threads) if "orig_rax" in t.registers and t.value("orig_rax") == _FUTEX]


def _register(subject: Subject, thread: int, name: str, value: int) -> Tuple[int, bytes]:
    return subject.dump.threads[thread].registers[name][1], struct.pack("<Q", value & (1 << 64) - 1)


def wait_arguments(subject: Subject, rng: Random) -> Optional[Mutation]:
    """A sleeping thread's system call: another operation, another value, a time limit, another word, another call."""
    sleepers = _sleepers(subject)
    if not sleepers:
        return None
    at, other = rng.choice(sleepers), rng.choice(sleepers)
    thread = subject.dump.threads[at]
    word, stack = thread.value("rdi"), thread.value("rsp")
    values = {
        "rsi": (0, 0x80, 0x89, 0x109, 0x189, 0x86, 0x8B, 0x8D, 1),
        "rdx": (0, 1, 2, 3, thread.tid or 0, 0xFFFFFFFF),
        "r10": (1, stack + 8, stack + 64),
        "rdi": (subject.dump.threads[other].value("rdi"), word + 4, word - 8, word + 0x28),
        "orig_rax": ((1 << 64) - 1, 230, 271, 219, 449, 0),
        "rax": (0, (1 << 64) - 516, (1 << 64) - 110),
    }
    name = rng.choice(sorted(values))
    new = rng.choice(values[name])
    return Mutation("wait-arguments", f"thread {at + 1}: {name} = {new:#x}", [_register(subject, at, name, new)])


def exchanged(subject: Subject, rng: Random) -> Optional[Mutation]:
    """Two things that are both in order stand in each other's place: words of a lock, the registers of two threads."""
    dump = subject.dump
    if dump.format != "elf" or len(dump.threads) < 2:
        return None
    at = _mutex(subject, rng)
    if at is not None and rng.random() < 0.6:
        first, second = (dump.offset_of(at + 4 * rng.randrange(-2, 10), 4) for _ in range(2))
        if first is None or second is None:
            return None
        patches = [(first, dump.data[second : second + 4]), (second, dump.data[first : first + 4])]
        return Mutation("exchanged", f"two words of the mutex at {at:#x}", patches)
    one, other = rng.sample(range(len(dump.threads)), 2)
    places = [dump.threads[n].registers for n in (one, other)]
    patches = [(places[0][name][1], struct.pack("<Q", places[1][name][0])) for name in places[0]]
    patches += [(places[1][name][1], struct.pack("<Q", places[0][name][0])) for name in places[1]]
    return Mutation("exchanged", f"the registers of threads {one + 1} and {other + 1}", patches)


def control_block(subject: Subject, rng: Random) -> Optional[Mutation]:
    """A thread's own record says another number, or is another's, or is broken."""
    own = own_tids(subject.dump)
    if not own:
        return None
    at = rng.choice(sorted(own))
    begin = subject.dump.threads[at].value("fs_base")
    if rng.random() < 0.3:
        other = subject.dump.threads[rng.choice(sorted(own))].value("fs_base")
        what = f"the thread pointer of thread {at + 1} is {other:#x}"
        return Mutation("control-block", what, [_register(subject, at, "fs_base", rng.choice((0, other, begin + 8)))])
    where, size = rng.choice(((0x2D0, 4), (0x2D0, 4), (0, 8), (0x10, 8), (0x2C0, 8), (0x2C8, 8)))
    tids = [t.tid or 0 for t in subject.dump.threads]
    offset = subject.dump.offset_of(begin + where, size)
    if offset is None:
        return None
    new = rng.choice((0, rng.choice(tids), max(tids) + 1, 0x7FFFFFFF, begin + 0x1000))
    what = f"+{where:#x} of the control block of thread {at + 1} = {new:#x}"
    return Mutation("control-block", what, [(offset, (new & (1 << 8 * size) - 1).to_bytes(size, "little"))])


def file_list(subject: Subject, rng: Random) -> Optional[Mutation]:
    """The list of mapped files is lost, too short, too long, or has another name or address in it."""
    data = subject.dump.data
    for start, end in subject.dump.notes:
        if struct.unpack_from("<I", data, start + 8)[0] != _NT_FILE:
            continue
        body = start + 20
        (count,) = struct.unpack_from("<Q", data, body)
        if not 0 < count < 100_000:
            return None
        choice = rng.choice(("lost", "count", "name", "address"))
        if choice == "lost":
            patch = (start + 8, _number(0x7777))
        elif choice == "count":
            patch = (body, struct.pack("<Q", rng.choice((0, 1, count // 2, count + 1, 1 << 40))))
        elif choice == "address":
            patch = (body + 16 + 24 * rng.randrange(count), struct.pack("<Q", rng.getrandbits(47) & ~0xFFF))
        else:
            at = rng.randrange(body + 16 + 24 * count, end)
            patch = (at, bytes((data[at] ^ 1 << rng.randrange(7),)))
        return Mutation("file-list", f"the list of files: {choice}", [patch])
    return None
