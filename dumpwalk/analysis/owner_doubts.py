"""Why a lock whose owner is no thread of the dump is yet not shown to be held for ever."""

from __future__ import annotations

from typing import List, Optional

from dumpwalk.analysis.facts import Answers, LockFact
from dumpwalk.locks.mutex_facts import in_age, own_pid


def absent(facts: Answers, lock: LockFact) -> bool:
    """It is held, and no thread of the dump is its owner, whether that is gone or not known."""
    return bool(lock.state.locked and lock.holders and lock.waiters and all(h.thread is None for h in lock.holders))


def unknowns(facts: Answers, lock: LockFact) -> List[str]:
    """What the dump does not tell: each alone leaves open whether the owner is there. Sentences."""
    process, numbering = facts.process, facts.process.numbering
    told: List[str] = []
    if all(h.owner.numbering != "os-tid" for h in lock.holders):
        return [] if lock.owner_gone else ["The runtime's list of threads does not show that the owner is gone."]
    if not process.threads_complete:
        told.append("Threads are missing from the dump.")
    elif numbering.unnumbered:
        told.append("Threads of the dump have no number of their own.")
    elif numbering.missing or not lock.owner_gone:
        told.append("The notes of the dump and the C library's list of threads differ, so the owner may be there.")
    elif not numbering.shown:
        told.append("Nothing shows that the dump numbers threads as the process does.")
    elif not (numbering.complete or _listed_by_runtime(facts)):
        told.append("Nothing shows that the dump has every thread: the C library's own list is not in it.")
    if lock.state.shared:
        told.append("The lock is made for use by several processes, so its owner may be a thread of another one.")
    return told


def inherited(facts: Answers, lock: LockFact) -> Optional[str]:
    """A sentence where the owner's number is no number of this process: then the lock was held when it was forked."""
    tid = lock.state.owner_tid
    core = facts.process.corefile
    if tid is None or lock.kind not in ("pthread", "pal", "crst"):
        return None
    if core is not None and core.parent_pid == tid:
        return f"Number {tid} is the parent process: the lock was held when this process was forked from it."
    first = own_pid(facts.process)
    if first is not None and not in_age(facts.process, first, tid):
        return (
            f"Number {tid} is not one that this process ({first}) gave its threads: the lock was held when it was forked, "
            "or the system's numbers have begun anew since."
        )
    return None


def _listed_by_runtime(facts: Answers) -> bool:
    """The runtime's own list was read whole and the dump has all of it."""
    return facts.managed is not None and facts.managed.status == "complete" and len(facts.managed.threads) > 1
