"""The locks that threads hold although nobody waits for them: a question of its own, asked for a finding or by the user.

Native locks of all threads come from one search of writable memory, managed ones from the stack of each thread asked for.
Locks that somebody waits for, and Monitors in sync blocks, are facts already; all of them together are what a thread holds.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.analysis.locks import lock_facts
from dumpwalk.claims.model import Coverage
from dumpwalk.claims.words import Extent
from dumpwalk.core.libc import libc_of
from dumpwalk.core.names import plural, ranges
from dumpwalk.core.process import Thread
from dumpwalk.core.word_search import WordSearch
from dumpwalk.coreclr.locks.class_init import list_lock_entry
from dumpwalk.coreclr.locks.held_managed import held_by, thin_locks
from dumpwalk.coreclr.locks.held_native import HeldNative, NativeSearch, find_held, taken_in
from dumpwalk.coreclr.locks.names import by_function
from dumpwalk.coreclr.runtime_view import RuntimeView
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.state import LockState, Sort

AREA = "held-locks"


@dataclass(frozen=True)
class HeldLocks:
    """What a search for held locks gave."""

    asked: Tuple[Thread, ...] = ()
    found: Tuple[LockFact, ...] = ()
    """Locks that are no rows of the facts: held by a thread asked for, and nobody waits."""
    by_thread: Dict[int, Tuple[LockFact, ...]] = field(default_factory=dict)
    """Thread index to all that it holds, waited for or not, by address."""
    coverage: Optional[Coverage] = None


def look(
    facts: Facts,
    threads: Sequence[Thread],
    most_bytes: int = limits.HELD_FINDING_BYTES,
    object_bytes: int = 0,
) -> HeldLocks:
    """All locks that these threads hold; with `object_bytes` of memory searched for objects whose thin lock no stack names."""
    asked = tuple(t for t in threads if t.tid is not None and t.tid_source != "synthetic")
    if not asked:
        why = "the dump has no thread ids, and locks name their owners by them"
        return HeldLocks((), coverage=Coverage(AREA, "none", why))
    view = facts.of(RuntimeView)
    native = find_held(
        facts.process, view.layouts if view.info is not None else (), view.libc or libc_of(facts.process), most_bytes
    )
    mine = {t.index for t in asked}
    states = [_native(facts, one) for one in native.locks if one.thread.index in mine]
    managed, objects = _managed(facts, asked, object_bytes)
    states += managed
    known = {lock.state.address for lock in facts.locks}
    fresh = [state for state in states if state.address not in known]
    found = tuple(lock_facts(facts.process, facts.threads, (), None, fresh, facts.managed, view))
    by_thread = {t.index: _of(t, (*facts.locks, *found)) for t in asked}
    return HeldLocks(asked, found, by_thread, _coverage(facts, asked, native, objects, len(found)))


def _of(thread: Thread, locks: Sequence[LockFact]) -> Tuple[LockFact, ...]:
    mine = (k for k in locks if any(h.thread is thread for h in k.holders) and k.state.locked is not False)
    return tuple(sorted(mine, key=lambda k: k.state.address))


def _native(facts: Facts, one: HeldNative) -> LockState:
    """The row's state: its grade is what the search can say, its note how it was found."""
    state = one.state
    if one.is_crst and facts.around is not None:
        state = list_lock_entry(facts.around, state) or state
    where = taken_in(one)
    note = f"nobody waits for it; found by its owner's number in memory: {', '.join(one.facts)}"
    if where:
        note += f"; the frame of {where} has its address"
    owners = tuple(replace(owner, grade=one.grade) for owner in state.owners)
    name, source = state.name, state.name_source
    if name is None and one.is_crst and where:
        name = by_function(where)
        source = "caller" if name is not None else None
    kind: Optional[Sort] = state.kind or ("crst" if one.is_crst else None)
    return replace(state, kind=kind, note=note, name=name, name_source=source, owner_tid=None, more_owners=owners)


def _managed(
    facts: Facts, threads: Sequence[Thread], object_bytes: int
) -> Tuple[List[LockState], Optional[WordSearch]]:
    if facts.around is None:
        return [], None
    found: Dict[int, LockState] = {}
    for thread in threads:
        for row, sighting in held_by(facts.around, thread):
            note = f"nobody waits for it; {sighting.phrase()} of thread {thread.index} is its object"
            row.note = row.note or note
            found.setdefault(row.address, row.state())
    if not object_bytes:
        return list(found.values()), None
    rows, words = thin_locks(facts.around, threads, object_bytes)
    for row in rows:
        row.note = row.note or (
            "nobody waits for it; found by its header in memory, on no stack of its owner: by that thread, or by one with the "
            "same number before it"
        )
        found.setdefault(row.address, row.state())
    return list(found.values()), words


def _coverage(
    facts: Facts, asked: Sequence[Thread], native: NativeSearch, objects: Optional[WordSearch], found: int
) -> Coverage:
    words = native.words
    who = "thread " if len(asked) == 1 else "threads "
    said = (
        f"{plural(found, 'lock')} held by {who}{ranges(t.index for t in asked)} that nobody waits for; "
        f"{words.searched / (1 << 20):,.1f} MiB of writable memory searched"
    )
    lacks = []
    if objects is not None:
        said += f", {objects.searched / (1 << 20):,.1f} MiB for objects with a thin lock"
        if not objects.complete:
            lacks.append(f"{objects.left / (1 << 20):,.1f} MiB not for objects")
    if words.left:
        lacks.append(f"{words.left / (1 << 20):,.1f} MiB not")
    if words.limited:
        lacks.append(f"the search ended after {limits.HELD_WORDS:,} words that may name an owner")
    core = facts.process.corefile
    if core is not None and core.evidence is not None:
        lacks.append("of other memory the evidence core holds what its own analysis found in it")
    if core is not None and core.kind not in ("full", "heap"):
        lacks.append("this kind of dump leaves memory out")
    if facts.runtime is not None and facts.around is None:
        lacks.append("managed locks were not looked for: the runtime's threads are not known")
    status: Extent = "partial" if lacks else "complete"
    return Coverage(AREA, status if words.searched else "none", "; ".join([said, *lacks]))
