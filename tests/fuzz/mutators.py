"""One change of a core, chosen by a seeded generator: what changed, where, and whether the verdict may notice.

Each mutator draws from the generator only, so a number names a mutation for good.
"""

from __future__ import annotations

import random
import re
from typing import Callable, Dict, Optional

from tests.fuzz import semantic
from tests.fuzz.code_places import code_places
from tests.fuzz.mutation import Mutation as Mutation
from tests.fuzz.subjects import TABLE_SLOTS, Subject

U64 = (1 << 64) - 1
U32 = (1 << 32) - 1
ODD_WORDS = (0, 1, 7, 8, 0x1000, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 47) - 8, 1 << 47, 1 << 63, U64 - 7, U64)


Random = random.Random
Mutator = Callable[[Subject, Random], Optional[Mutation]]


def _word(value: int, size: int = 8) -> bytes:
    return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _old(subject: Subject, offset: int, size: int) -> int:
    return int.from_bytes(subject.dump.data[offset : offset + size], "little")


def _odd(subject: Subject, rng: Random, old: int = 0) -> int:
    """A value that code is likely to trip over."""
    choice = rng.randrange(6)
    if choice == 0:
        return rng.choice(ODD_WORDS)
    if choice == 1:
        return old + rng.choice((-0x1000, -8, -4, -1, 1, 4, 8, 0x1000))
    if choice == 2:
        return old ^ 1 << rng.randrange(64)
    if choice == 3:
        return rng.getrandbits(64)
    if choice == 4 and subject.nodes:
        return rng.choice(subject.nodes)
    start, _, length, _ = rng.choice(subject.dump.segments)
    return start + rng.randrange(length)


def header(subject: Subject, rng: Random) -> Mutation:
    size = rng.choice((1, 2, 4, 8))
    offset = rng.randrange(0, subject.dump.header_end - size)
    value = _odd(subject, rng, _old(subject, offset, size))
    return Mutation("header", f"{size} bytes at {offset} of the file header", [(offset, _word(value, size))])


def table(subject: Subject, rng: Random) -> Mutation:
    """A field of a program header or load command, or several at once."""
    patches = []
    for _ in range(rng.choice((1, 1, 1, 5))):
        at = rng.choice(subject.dump.entries)
        size = rng.choice((4, 8))
        offset = at + rng.randrange(0, 56, size)
        patches.append((offset, _word(_odd(subject, rng, _old(subject, offset, size)), size)))
    return Mutation("table", f"segment headers or load commands at {[o for o, _ in patches]}", patches)


def notes(subject: Subject, rng: Random) -> Mutation:
    """A note's header or body; a thread's load command in a Mach-O core, which has few notes."""
    spans = subject.dump.notes or [t.span for t in subject.dump.threads]
    start, end = rng.choice(spans)
    size = rng.choice((1, 4, 8))
    in_header = rng.random() < 0.4
    offset = start + (rng.randrange(0, 12) if in_header else rng.randrange(0, max(1, end - start - size)))
    value = _odd(subject, rng, _old(subject, offset, size))
    return Mutation("notes", f"{size} bytes at {offset}, note at {start}", [(offset, _word(value, size))])


def register(subject: Subject, rng: Random) -> Mutation:
    thread, index = _thread(subject, rng)
    names = sorted(thread.registers)
    name = rng.choice([subject.dump.pc, subject.dump.sp, *names, *names])
    value, offset = thread.registers[name]
    others = [t.registers[rng.choice(names)][0] for t in subject.dump.threads]
    new = rng.choice([_odd(subject, rng, value), rng.choice(others)])
    return Mutation("register", f"thread {index}: {name} = {new & U64:#x}", [(offset, _word(new))])


def stack(subject: Subject, rng: Random) -> Optional[Mutation]:
    thread, index = _thread(subject, rng)
    sp = thread.value(subject.dump.sp)
    patches = []
    for _ in range(rng.choice((1, 4, 32))):
        offset = subject.dump.offset_of((sp & ~7) + 8 * rng.randrange(512))
        if offset is not None:
            patches.append((offset, _word(_odd(subject, rng, _old(subject, offset, 8)))))
    return Mutation("stack", f"{len(patches)} words on the stack of thread {index}", patches) if patches else None


def _thread(subject: Subject, rng: Random) -> tuple:
    if subject.named and rng.random() < 0.6:
        index = rng.choice(subject.named)
    else:
        index = rng.randrange(len(subject.dump.threads)) + 1
    return subject.dump.threads[index - 1], index


def cache(subject: Subject, rng: Random) -> Optional[Mutation]:
    """The dispatch cache itself: an element's words, a slot, the sentinel, the lock before the table."""
    told = subject.report["dispatch_cache"]
    if told is None or not subject.nodes:
        return managed(subject, rng) or locks(subject, rng)
    table_at, sentinel = int(told["table"], 16), int(told["sentinel"], 16)
    part = rng.choice(("next", "next", "loop", "word", "slot", "slot", "sentinel", "lock", "flags"))
    size = 8
    in_cycles = [int(n["address"], 16) for c in told["cycles"] for n in c["nodes"]] or list(subject.nodes)
    if part == "next":
        address = rng.choice(subject.nodes) + 24
    elif part == "loop":
        address = rng.choice(in_cycles) + rng.choice((0, 8, 16, 24))
    elif part == "word":
        address = rng.choice(subject.nodes) + rng.choice((0, 8, 16))
    elif part == "slot":
        address = table_at + 8 * rng.randrange(TABLE_SLOTS)
    elif part == "sentinel":
        address = sentinel + 8 * rng.randrange(4)
    else:
        lock = int(told["lock"], 16)
        size = rng.choice((4, 8))
        address = table_at - 8 if part == "flags" else lock + rng.randrange(0, table_at - lock, size)
    offset = subject.dump.offset_of(address, size)
    if offset is None:
        return None
    values = [sentinel, rng.choice(subject.nodes), _odd(subject, rng, _old(subject, offset, size))]
    if part not in ("lock", "flags"):
        values.append(rng.choice(in_cycles))
    tids = [t.tid for t in subject.dump.threads if t.tid]
    if part == "lock" and tids:
        values.append(rng.choice(tids))
    new = rng.choice(values)
    return Mutation("cache", f"{part}: {size} bytes at {address:#x} = {new & U64:#x}", [(offset, _word(new, size))])


def managed(subject: Subject, rng: Random) -> Optional[Mutation]:
    """Managed locks, or what names managed code: whichever the subject has, in turn where it has both."""
    first, second = (code, managed_locks) if rng.random() < 0.5 else (managed_locks, code)
    return first(subject, rng) or second(subject, rng)


def code(subject: Subject, rng: Random) -> Optional[Mutation]:
    """Words of what leads from an address to a method's name: code ranges and heaps, nibble maps, code headers, method
    descs and their chunks, method tables, classes and modules, metadata's roots, streams and tables."""
    places = code_places(subject.name)
    if not places:
        return None
    what = rng.choice(sorted(places))
    patches = []
    for _ in range(rng.choice((1, 1, 4, 16))):
        start, length = rng.choice(places[what])
        size = rng.choice((1, 2, 4, 8))
        offset = subject.dump.offset_of(start + rng.randrange(0, max(1, length - size + 1), min(size, 4)), size)
        if offset is not None:
            old = _old(subject, offset, size)
            near = [address for address, _ in places[rng.choice(sorted(places))]]
            patches.append((offset, _word(rng.choice((_odd(subject, rng, old), rng.choice(near), old + 1, 0)), size)))
    return Mutation("managed", f"{len(patches)} words of a {what}", patches) if patches else None


def managed_locks(subject: Subject, rng: Random) -> Optional[Mutation]:
    """Words of managed locks: state, owner, number, table entry, the object's header and method table, a waiter's stack."""
    rows = [lock for lock in subject.report["locks"] if lock["object"]]
    if not rows:
        return None
    lock = rng.choice(rows)
    told = [*lock["words"], *(o["word"] for o in lock["owners"] if o["word"]), *(w["how"] for w in lock["waiters"])]
    places = [int(word, 16) for phrase in told for word in re.findall(r"(?:at|word) (0x[0-9a-f]+)", phrase)]
    places += [int(lock["object"]["address"], 16), int(lock["object"]["address"], 16) - 8]
    address = (rng.choice(places) & ~7) + rng.choice((0, 0, 0, 8, -8, 0x10, 0x18))
    offset = subject.dump.offset_of(address, 8)
    if offset is None:
        return None
    old = _old(subject, offset, 8)
    tids = [t.tid for t in subject.dump.threads if t.tid]
    values = [
        _odd(subject, rng, old),
        rng.choice(places),
        rng.choice(tids),
        old & ~U32 | rng.randrange(64),
        old ^ 1 << rng.randrange(64),
    ]
    new = rng.choice(values) & U64
    return Mutation("managed", f"8 bytes at {address:#x} = {new:#x}", [(offset, _word(new))])


def locks(subject: Subject, rng: Random) -> Optional[Mutation]:
    """Words of the native locks that the report lists."""
    if not subject.report["locks"]:
        return None
    lock = int(rng.choice(subject.report["locks"])["address"], 16)
    address = lock + 4 * rng.randrange(10)
    offset = subject.dump.offset_of(address, 4)
    if offset is None:
        return None
    tids = [t.tid for t in subject.dump.threads if t.tid] or [0]
    new = rng.choice([0, 1, 2, rng.choice(tids), _odd(subject, rng, _old(subject, offset, 4))])
    return Mutation("locks", f"word {address:#x} of a lock = {new & 0xFFFFFFFF:#x}", [(offset, _word(new, 4))])


def images(subject: Subject, rng: Random) -> Optional[Mutation]:
    """Headers of the images as they lie in memory (program headers, load commands, build-ids), and words behind them:
    dynamic sections, the runtime's globals, its data contract and thread list, dyld's list."""
    placed = [m for m in subject.report["modules"] if m["base"]]
    runtime = subject.report["runtime"]
    bases = [int(m["base"], 16) for m in placed] + ([int(runtime["base"], 16)] * 3 if runtime else [])
    if not bases:
        return None
    base = rng.choice(bases)
    near = [s for s in subject.dump.segments if base <= s[0] < base + (8 << 20)]
    patches = []
    for _ in range(rng.choice((1, 2, 8, 64))):
        if rng.random() < 0.5 or not near:
            offset = subject.dump.offset_of(base + 4 * rng.randrange(512))
        else:
            start, _, length, _ = rng.choice(near)
            offset = subject.dump.offset_of(start + (rng.randrange(length) & ~7))
        if offset is not None:
            size = rng.choice((4, 8))
            patches.append((offset, _word(_odd(subject, rng, _old(subject, offset, size)), size)))
    return Mutation("images", f"{len(patches)} words of the image at {base:#x}", patches) if patches else None


def flips(subject: Subject, rng: Random) -> Mutation:
    data = subject.dump.data
    patches = []
    for _ in range(rng.choice((1, 8, 64, 1000))):
        offset = rng.randrange(len(data))
        patches.append((offset, bytes((data[offset] ^ 1 << rng.randrange(8),))))
    return Mutation("flips", f"{len(patches)} bits anywhere", patches)


def truncate(subject: Subject, rng: Random) -> Mutation:
    size = len(subject.dump.data)
    length = rng.choice(
        (
            rng.randrange(size),
            rng.randrange(min(size, 4096)),
            subject.dump.table[1] - rng.randrange(0, 64),
            size - rng.randrange(1, 4096),
        )
    )
    return Mutation("truncate", f"cut to {length} of {size} bytes", length=max(0, length))


def elsewhere(subject: Subject, rng: Random) -> Optional[Mutation]:
    """Bits of writable memory that nothing in the report rests on: the verdict has to stay as it was."""
    segments = [s for s in subject.dump.segments if s[3] and s[2] >= 64]
    if not segments:
        return None
    weights = [s[2] for s in segments]
    patches = []
    if any(lock["object"] for lock in subject.report["locks"]):
        return None  # names, types and code ranges of the whole process are behind such a verdict
    for _ in range(rng.choice((1, 16, 200))):
        start, offset, length, _ = rng.choices(segments, weights)[0]
        address = start + rng.randrange(length)
        if any(low <= address < high for low, high in subject.evidence):
            continue
        at = offset + address - start
        patches.append((at, bytes((subject.dump.data[at] ^ 1 << rng.randrange(8),))))
    return (
        Mutation("elsewhere", f"{len(patches)} bits outside of the evidence", patches, same=True) if patches else None
    )


MUTATORS: Dict[str, Mutator] = {
    "cache": cache,
    "header": header,
    "register": register,
    "table": table,
    "elsewhere": elsewhere,
    "stack": stack,
    "notes": notes,
    "locks": locks,
    "managed": managed,
    "images": images,
    "flips": flips,
    "truncate": truncate,
    "owner": semantic.owner,
    "lock-kind": semantic.lock_kind,
    "thread-note": semantic.thread_note,
    "numbering": semantic.numbering,
    "wait-arguments": semantic.wait_arguments,
    "exchanged": semantic.exchanged,
    "control-block": semantic.control_block,
    "file-list": semantic.file_list,
}


def mutation(subject: Subject, rng: Random, kind: str) -> Mutation:
    """A mutation of this kind that changes the file; flipped bits where a subject has nothing of the kind."""
    for _ in range(20):
        made = MUTATORS[kind](subject, rng)
        if made is not None and made.apply(subject.dump.data) != subject.dump.data:
            return made
    return flips(subject, rng)
