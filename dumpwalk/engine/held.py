"""What else the threads of a finding hold: asked after the findings are made, since it costs a search of memory.

A lock that nobody waits for is no reason for a verdict; it tells what else stands still with its owner, and whether two locks of
the runtime's own are held against their documented order.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.analysis import held_locks
from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.analysis.held_locks import HeldLocks
from dumpwalk.claims.model import Evidence, Finding
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.locks.crst import crst_flags
from dumpwalk.coreclr.locks.crst_levels import SAME_LEVEL, SOURCE, CrstType, contradicts, crst_type
from dumpwalk.detectors import wording

_STATUSES = ("hang", "suspicious")
_HOLDING = ("holder", "owner", "spinner", "blocking", "suspender")
_NAMED = 4
ALL = "all"


def asked_threads(facts: Facts, words: Sequence[str]) -> List[Thread]:
    """The threads that `--held-by` names: by their number in the report, by tid, or all of them."""
    if ALL in words:
        return list(facts.process.threads)
    numbers = {int(word, 0) for word in words if word.isdigit() or word.lower().startswith("0x")}
    by_index = [t for t in facts.process.threads if t.index in numbers]
    known = {t.index for t in by_index}
    return by_index + [t for t in facts.process.threads if t.tid in numbers - known and t not in by_index]


def with_held(facts: Facts, findings: Sequence[Finding], held_by: Sequence[str] = ()) -> Tuple[Facts, List[Finding]]:
    """The facts with what was found held, and the findings that tell of it. Without a hang, a suspicion or a question nothing
    is searched."""
    asked = asked_threads(facts, held_by)
    threads = {t.index: t for t in asked}
    for finding in findings:
        for thread in _holding(facts, finding):
            if len(threads) < len(asked) + limits.HELD_THREADS_TOGETHER:
                threads.setdefault(thread.index, thread)
    if not threads or facts.stopped is not None:
        return facts, list(findings)
    most = limits.HELD_SEARCH_BYTES if asked else limits.HELD_FINDING_BYTES
    look = held_locks.look(facts, list(threads.values()), most, limits.HELD_OBJECTS_BYTES if asked else 0)
    facts = facts.having(HeldLocks, look).covering([look.coverage] if look.coverage is not None else [])
    return facts, [_told(facts, finding, look) for finding in findings]


def _holding(facts: Facts, finding: Finding) -> List[Thread]:
    if finding.status not in _STATUSES:
        return []
    indexes = dict.fromkeys(a.thread for a in finding.actors if a.role in _HOLDING)
    by_index = {t.index: t for t in facts.process.threads}
    return [by_index[i] for i in list(indexes)[: limits.HELD_THREADS] if i in by_index]


def _told(facts: Facts, finding: Finding, look: HeldLocks) -> Finding:
    """The finding with a sentence for each thread of it that holds more, and one for each pair against the order."""
    sentences: List[str] = []
    evidence: List[Evidence] = []
    for thread in _holding(facts, finding):
        held = look.by_thread.get(thread.index, ())
        more = [k for k in held if f"0x{k.state.address:x}" not in finding.locks]
        if more:
            names = [k.label for k in more[:_NAMED]]
            rest = f" and {len(more) - _NAMED} more" if len(more) > _NAMED else ""
            sentences.append(f"Thread {thread.index} also holds {' and '.join(names)}{rest}.")
            evidence += [e for k in more for e in _evidence(thread, k)]
        against = _against_order(facts, thread, held)
        sentences += against
    if not sentences:
        return finding
    return replace(
        finding,
        observed=(*finding.observed, *sentences),
        summary=(*finding.summary, *sentences),
        evidence=(*finding.evidence, *evidence),
        repro=(*finding.repro, *(line for line in wording.repro_of(evidence) if line not in finding.repro)),
    )


def _evidence(thread: Thread, lock: LockFact) -> List[Evidence]:
    what = f"thread {thread.index} holds {lock.label} too"
    found = []
    for holder in lock.holders:
        if holder.thread is thread and holder.owner.word is not None:
            how = f"{holder.owner.word.what} ({lock.state.implementation} at 0x{lock.state.address:x})"
            how += f"; {lock.note}" if lock.note else ""
            found.append(wording.word_evidence(holder.owner.word, what, how, holder.owner.grade))
    return found[:1]


def _against_order(facts: Facts, thread: Thread, held: Sequence[LockFact]) -> List[str]:
    """Two locks held, or one held and one waited for, whose levels the documented order does not allow together."""
    major = facts.runtime.major if facts.runtime is not None else None
    types: Dict[int, CrstType] = {}
    for lock in held:
        known = crst_type(lock.name, major)
        if known is not None and lock.kind == "crst":
            types[lock.state.address] = known
    mine = [k for k in held if k.state.address in types]
    found = []
    for first, second in combinations(mine, 2):
        a, b = types[first.state.address], types[second.state.address]
        free = _same_level_allowed(facts, first) or _same_level_allowed(facts, second)
        if contradicts(a, b, free) and contradicts(b, a, free):
            found.append(
                f"Thread {thread.index} holds {first.label} and {second.label}, both of level {a.level}: two locks of one "
                f"level are against the documented order ({SOURCE})."
            )
    wanted = _wanted(facts, thread)
    kind = crst_type(wanted.name, major) if wanted is not None and wanted.kind == "crst" else None
    for lock in mine if wanted is not None and kind is not None else ():
        if wanted is None or kind is None or lock is wanted:
            continue
        known = types[lock.state.address]
        if contradicts(known, kind, _same_level_allowed(facts, wanted)):
            found.append(
                f"Thread {thread.index} holds {lock.label} (level {known.level}) and waits for {wanted.label} (level "
                f"{kind.level}): against the documented order ({SOURCE})."
            )
    return found


def _wanted(facts: Facts, thread: Thread) -> Optional[LockFact]:
    wait = facts.wait_of(thread)
    return facts.lock_at(wait.lock.address) if wait is not None and wait.lock is not None else None


def _same_level_allowed(facts: Facts, lock: LockFact) -> bool:
    """By the flag in its own word; also where that word cannot be read, since nothing is then shown."""
    for row in facts.layouts:
        flags = crst_flags(facts.process.memory, lock.state.address, row)
        if flags is not None:
            return bool(flags & SAME_LEVEL)
    return True
