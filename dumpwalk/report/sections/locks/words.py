"""What each key means."""

from __future__ import annotations

from dumpwalk.claims.words import GRADES_TOLD

WORDS = {
    "Report.locks": "Locks that were found: the runtime's, and those that threads wait for.",
    "Owner.tid": "System id of the owner, as the lock's memory says.",
    "Owner.thread": "threads[].index; null when no thread of the dump has that id.",
    "Owner.grade": f"{GRADES_TOLD}.",
    "Waiter.thread": "threads[].index.",
    "Waiter.grade": f"{GRADES_TOLD}.",
    "Waiter.how": "How it is known.",
    "Lock.address": "Of the Crst, critical section or mutex; what lies inside one is never a row of its own.",
    "Lock.name": "Its name, where that can be told.",
    "Lock.kind": "crst, pthread, monitor, lock, rwlock, class-init, mutex, spinlock, ...",
    "Lock.implementation": "pal-critical-section, glibc-mutex, musl-mutex, apple-mutex, ...",
    "Lock.locked": "Whether it is held; null where its memory could not be read.",
    "Lock.owner": "Who holds it; null when nobody does or that is not known.",
    "Lock.waiters": "All who wait for it.",
    "Lock.recursion": "How many times the owner entered it; null where it does not count.",
    "Lock.name_source": (
        "symbol, member (its place in a known object), known-build (a static of a build whose locks were looked up), "
        "caller (by who enters it) or mapped-file."
    ),
    "Lock.words": "What its memory says, a phrase each.",
    "Lock.note": "A remark on its state.",
    "Lock.object": "The managed object that is locked; for a class initialiser the type that it prepares. Null for native locks.",
    "Lock.owners": "All who hold it, as far as memory names them; owner is the first of them.",
    "Lock.owners_unknown": "Why not everybody who holds it can be named, or null.",
    "Lock.crst_type": "Of a named lock of the runtime: its type in the documented order of locks, or null.",
    "Lock.level": "That type's level: under a lock only lower ones may be entered; -1 is in no order. Or null.",
    "Lock.starving_since_ms": "When the oldest starving waiter began to wait, in ms of the monotonic clock (32 bits), or null.",
    "LockOwner": "One of those who hold a lock.",
    "LockOwner.tid": "Its OS thread id, where that is known.",
    "LockOwner.thread": "threads[].index; null for a thread that is not in the dump.",
    "LockOwner.managed_id": "The runtime's number of it, or null.",
    "LockOwner.holding": "exclusive, shared, upgradeable or initialising.",
    "LockOwner.gone": "Whether it is no thread of the process any more.",
    "LockOwner.grade": GRADES_TOLD,
    "LockOwner.word": "The word of memory that names it.",
    "LockObject": "A managed object that is locked.",
    "LockObject.address": "The object's; of a class initialiser the method table's.",
    "LockObject.type": "Its type; null where the name could not be read.",
}
