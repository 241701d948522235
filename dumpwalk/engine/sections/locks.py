"""Locks with all who hold them and wait for them, as the report has them."""

from __future__ import annotations

from typing import Optional, Sequence

from dumpwalk.analysis.facts import Facts, Holder, LockFact
from dumpwalk.analysis.held_locks import HeldLocks
from dumpwalk.coreclr.locks.crst_levels import crst_type
from dumpwalk.report import model


def all_locks(facts: Facts) -> Sequence[LockFact]:
    """The locks of the facts, then those that only a search for held ones found; by address."""
    look = facts.results.get(HeldLocks)
    found = look.found if look is not None else ()
    return sorted((*facts.locks, *found), key=lambda lock: lock.state.address) if found else facts.locks


def lock_row(facts: Facts, lock: LockFact) -> model.Lock:
    state = lock.state
    major = facts.runtime.major if facts.runtime is not None else None
    order = crst_type(lock.name, major) if lock.kind == "crst" else None
    owner = None
    if lock.holders:
        first = lock.holders[0]
        index = first.thread.index if first.thread is not None else None
        tid = first.thread.tid if first.thread is not None else None
        tid = first.owner.number if first.owner.numbering == "os-tid" else tid
        owner = model.Owner(tid, index, first.owner.grade)
    return model.Lock(
        address=f"0x{state.address:x}",
        name=lock.name,
        kind=lock.kind,
        implementation=state.implementation,
        locked=state.locked,
        owner=owner,
        waiters=tuple(
            model.Waiter(w.thread.index, w.grade, w.how) for w in sorted(lock.waiters, key=lambda w: w.thread.index)
        ),
        recursion=state.recursion,
        name_source=lock.name_source,
        words=tuple(w.phrase() for w in state.words),
        note=lock.note,
        object=_object(lock),
        owners=tuple(_owner(facts, holder) for holder in lock.holders),
        owners_unknown=state.owners_unknown,
        starving_since_ms=state.starving_since,
        crst_type=order.name if order is not None else None,
        level=order.level if order is not None else None,
    )


def _object(lock: LockFact) -> Optional[model.LockObject]:
    state = lock.state
    if not state.managed or (state.object_type is None and state.object_address is None):
        return None
    return model.LockObject(f"0x{state.object_address or state.address:x}", state.object_type)


def _owner(facts: Facts, holder: Holder) -> model.LockOwner:
    owner, thread = holder.owner, holder.thread
    record = facts.around.record(thread) if facts.around is not None and thread is not None else None
    managed_id = record.managed_id if record is not None else None
    if managed_id is None and owner.numbering == "managed-id" and owner.number < 1 << 26:
        managed_id = owner.number
    if managed_id is None and owner.numbering == "thread-address" and facts.managed is not None:
        ended = facts.managed.by_address(owner.number)
        managed_id = ended.managed_id if ended is not None else None
    tid = owner.number if owner.numbering == "os-tid" else thread.tid if thread is not None else None
    index = thread.index if thread is not None else None
    word = owner.word.phrase() if owner.word is not None else None
    return model.LockOwner(tid, index, managed_id, owner.holding, holder.gone, owner.grade, word)
