"""Which locks changed hands between two looks."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from dumpwalk.compare.model import Change, LockMotion
from dumpwalk.report.model import Lock, Report

Pairs = Dict[int, int]
"""Threads of the second look to those of the first, by number."""


def motions(first: Report, second: Report, pairs: Pairs) -> List[LockMotion]:
    """One for each lock of either look that is held or waited for. A lock is one by kind and address; an object that the
    collector moved is found again by its type, owner and waiters, where only one fits."""
    before: Dict[Tuple[str, str], Lock] = {(lock.kind, lock.address): lock for lock in first.locks}
    found = []
    for lock in second.locks:
        earlier = before.pop((lock.kind, lock.address), None) or _moved(lock, before, pairs)
        if earlier is not None or _busy(lock):
            found.append(_motion(lock, earlier, pairs))
    for earlier in before.values():
        if _busy(earlier):
            what = "held or waited for in the first look, not in the second"
            found.append(LockMotion(earlier.address, earlier.kind, label(earlier), None, "released", (), what))
    return found


def label(lock: Lock) -> str:
    """As the report names it: by its own name, its object's type, or its address."""
    if lock.name:
        return lock.name
    if lock.object is not None and lock.object.type:
        what = f"the initialiser of {lock.object.type}" if lock.kind == "class-init" else lock.object.type
        return f"{what} at {lock.address}"
    return f"lock {lock.address}"


def owner_of(lock: Lock) -> Optional[int]:
    return lock.owner.thread if lock.owner is not None else None


def _busy(lock: Lock) -> bool:
    return owner_of(lock) is not None or bool(lock.waiters)


def _moved(lock: Lock, before: Dict[Tuple[str, str], Lock], pairs: Pairs) -> Optional[Lock]:
    if lock.object is None or lock.object.type is None or not _busy(lock):
        return None
    like = [
        (key, other)
        for key, other in before.items()
        if other.kind == lock.kind
        and other.object is not None
        and other.object.type == lock.object.type
        and owner_of(other) == _before(owner_of(lock), pairs)
        and {w.thread for w in other.waiters} == {_before(w.thread, pairs) for w in lock.waiters}
    ]
    if len(like) != 1:
        return None
    return before.pop(like[0][0])


def _before(thread: Optional[int], pairs: Pairs) -> Optional[int]:
    return pairs.get(thread) if thread is not None else None


def _motion(lock: Lock, earlier: Optional[Lock], pairs: Pairs) -> LockMotion:
    owner = owner_of(lock)
    waiting = tuple(sorted(w.thread for w in lock.waiters))

    clocks = (earlier.starving_since_ms if earlier is not None else None, lock.starving_since_ms)
    starving = clocks[0] is not None and clocks[0] == clocks[1]

    def told(motion: Change, what: str, stayed: Tuple[int, ...] = ()) -> LockMotion:
        return LockMotion(lock.address, lock.kind, label(lock), owner, motion, stayed, what, starving)

    if earlier is None:
        return told("taken", "not held and not waited for in the first look")
    was = owner_of(earlier)
    if owner is None and was is None:
        if lock.locked is False and earlier.locked is False:
            return told("released", "free in both looks")
        return told("unknown", "its owner is not known in either look")
    if owner is None or was is None:
        if lock.locked is False:
            return told("released", f"thread {was} of the first look has released it")
        return told("unknown" if was is not None else "taken", "its owner is known in one look only")
    if pairs.get(owner) != was:
        return told("changed", f"another owner: thread {owner} now, thread {was} of the first look before")
    stayed = tuple(t for t in waiting if pairs.get(t) in {w.thread for w in earlier.waiters})
    left = len(earlier.waiters) - len(stayed)
    if earlier.waiters and not stayed:
        return told("changed", f"the same owner, thread {owner}; all who waited for it are gone from its queue")
    if left:
        return told(
            "changed", f"the same owner, thread {owner}; {left} of {len(earlier.waiters)} who waited do no more", stayed
        )
    if lock.recursion != earlier.recursion:
        return told(
            "changed",
            f"the same owner, thread {owner}; its recursion was {earlier.recursion}, is {lock.recursion}",
            stayed,
        )
    if None not in clocks and not starving:
        return told(
            "changed",
            f"the same owner, thread {owner}, but a waiter got it in between, by the lock's own clock",
            stayed,
        )
    more = len(waiting) - len(stayed)
    and_more = f", {more} more came" if more else ""
    return told("held", f"the same owner, thread {owner}, and the same waiters{and_more}", stayed)
