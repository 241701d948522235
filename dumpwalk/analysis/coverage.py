"""What was looked at and how much of it: unknown is never "no".

Areas: threads, stacks, modules, dispatch-cache, locks, managed-code, managed-threads, managed-locks, thread-pool. Status complete,
partial or none.
"""

from __future__ import annotations

from typing import List, Set

from dumpwalk.analysis.facts import Answers, Gathered
from dumpwalk.analysis.results import PoolLook
from dumpwalk.analysis.unexplained import sentence_of
from dumpwalk.claims.model import Coverage
from dumpwalk.claims.words import Extent
from dumpwalk.core.names import plural, ranges
from dumpwalk.core.numbering import MIXED
from dumpwalk.core.process import Thread
from dumpwalk.locks.lock_frames import LIBC_MODULES


def entries(facts: Gathered) -> List[Coverage]:
    """The entries of every area, always in this order."""
    _threads(facts)
    _stacks(facts)
    _modules(facts)
    _cache(facts)
    _locks(facts)
    _managed(facts)
    _evidence(facts)
    return facts.covered


def after_stop(facts: Gathered, known: List[Coverage], lost: Set[str], why: str) -> List[Coverage]:
    """Time or memory ran out: the areas of the steps that did not end say so, and the verdict may not be "none"."""
    kept = [c for c in known if c.area not in lost]
    gone = [Coverage(area, "none", why) for area in sorted(lost - {"stacks"})]
    if "stacks" not in lost:
        return [*kept, *gone]
    first = facts.process.module_facts.get("stacks")  # what happened to the debugger stays there
    some: Extent = "partial" if any(len(t.frames()) > 1 for t in facts.process.threads) else "none"
    return [*kept, *gone, Coverage("stacks", some, f"{first}; {why}" if first else why)]


def _evidence(facts: Gathered) -> None:
    """What an evidence core holds, and that all else is not in it."""
    core = facts.process.corefile
    told = core.evidence if core is not None else None
    if told is None:
        return
    if told.tool is None:
        why = "an evidence core whose own note cannot be read: what of the process's memory it holds is not known"
        facts.cover("evidence-core", "none", why)
        return
    source = "a live process" if told.source == "process" else f"a {told.kind} core by {told.producer}"
    size = f" of {told.size_bytes / 1e6:,.1f} MB" if told.size_bytes is not None else ""
    held = f"{(told.kept_bytes or 0) / 1e6:,.1f} of {(told.captured_bytes or 0) / 1e6:,.1f} MB of memory"
    stacks = f"what the analysis read, and of each stack up to {told.stack_bytes >> 10} KiB"
    parts = [f"written by {told.tool} of {source}{size}: it holds {held}, {stacks}; other memory is not in it"]
    if told.full:
        parts.append("a limit was reached, so some of what was read is not in it either")
    if told.redacted:
        parts.append("text that is no name was overwritten with x")
    if told.changed:
        parts.append("it was changed after it was written: its checksum is another")
    facts.cover("evidence-core", "partial", "; ".join(parts))


def _threads(facts: Gathered) -> None:
    process, numbering = facts.process, facts.process.numbering
    count = len(process.threads)
    synthetic = sum(1 for t in process.threads if t.tid is None or t.tid_source == "synthetic")
    told = numbering.sentence(count)
    if not process.threads_complete:
        facts.cover("threads", "partial", f"{plural(count, 'thread')} in the dump, others are missing")
    elif synthetic:
        facts.cover(
            "threads", "partial", f"{synthetic} of {plural(count, 'thread')} with no id of its own: a position, no tid"
        )
    elif numbering.missing:
        lacks = plural(len(numbering.missing), "thread")
        facts.cover(
            "threads", "partial", f"{plural(count, 'thread')} with tids; {lacks} more in the C library's own list"
        )
    elif numbering.status == MIXED:
        facts.cover("threads", "partial", f"{plural(count, 'thread')}, {told}")
    else:
        facts.cover("threads", "complete", f"{plural(count, 'thread')} with tids" + (f"; {told}" if told else ""))


def _stacks(facts: Gathered) -> None:
    process = facts.process
    if process.debugger_version is None:
        facts.cover(
            "stacks",
            "partial" if any(len(t.frames()) > 1 for t in process.threads) else "none",
            process.module_facts.get("stacks", "no debugger was used: frame pointers only"),
        )
        return
    short = [t.index for t in process.threads if len(t.frames()) <= 1]
    if short:
        shown = ", ".join(map(str, short[:20])) + (" ..." if len(short) > 20 else "")
        facts.cover(
            "stacks", "partial", f"one frame only: {len(short)} of {plural(len(process.threads), 'thread')}: {shown}"
        )
    else:
        facts.cover("stacks", "complete", f"{len(process.threads)} of {plural(len(process.threads), 'thread')} unwound")


def _modules(facts: Gathered) -> None:
    assemblies = [m for m in facts.process.modules if m.name.lower().endswith((".dll", ".exe")) and m.build_id is None]
    modules = [m for m in facts.process.modules if m not in assemblies]
    if all(m.name.startswith("[") for m in modules):
        facts.cover("modules", "none", "the dump lists no mapped file")
        return
    names = {
        kind: sorted({m.name for m in modules if m.match == kind}) for kind in ("missing", "mismatched", "unverified")
    }
    matched = sum(1 for m in modules if m.match == "matched")
    parts = [f"{matched} of {len(modules)} native files matched by build-id"]
    for kind, label in (("missing", "missing"), ("mismatched", "of another build"), ("unverified", "not verifiable")):
        if names[kind]:
            parts.append(f"{label}: {', '.join(names[kind][:8])}{' ...' if len(names[kind]) > 8 else ''}")
    if assemblies:
        parts.append("managed assemblies are not needed")
    lacks = names["missing"] or names["mismatched"] or [n for n in names["unverified"] if not n.startswith("[")]
    damaged = facts.process.corefile is not None and facts.process.corefile.files_damaged
    if damaged:
        parts.append("the dump's list of files is damaged: others may have been mapped")
    whole = not lacks and not damaged
    facts.cover("modules", "complete" if whole else ("partial" if matched else "none"), "; ".join(parts))


def _cache(facts: Gathered) -> None:
    if facts.runtime is None:
        facts.cover("dispatch-cache", "none", _no_runtime(facts))
        return
    location, cache = facts.location, facts.cache
    if cache is None:
        if location.not_created:
            facts.cover("dispatch-cache", "complete", "g_resolveCache is NULL: the process has not made one")
        elif location.pointer_not_captured or _is_small(facts):
            facts.cover("dispatch-cache", "none", "not found in what this kind of dump holds")
        else:
            facts.cover("dispatch-cache", "none", f"not found (tried: {', '.join(location.tried)})")
        return
    walk = cache.walk
    if walk.unknown_buckets:
        facts.cover(
            "dispatch-cache",
            "partial",
            plural(walk.unknown_buckets, "chain leaves", "chains leave") + " the captured memory",
        )
    else:
        why = f"{walk.elements} elements in {walk.used_buckets} of 4096 buckets walked and audited"
        if walk.links > walk.misplaced:
            why += f"; pNext at +0x18 confirmed by {walk.links - walk.misplaced} links"
        others = {o.address for o in cache.others if o.table != cache.shape.table}
        if others:
            why += (
                f"; {plural(len(others), 'more structure looks', 'more structures look')} like it, at 0x{min(others):x}"
            )
        facts.cover("dispatch-cache", "complete", why)


def _no_runtime(facts: Gathered) -> str:
    if facts.other is not None and facts.other.dotnet:
        return f"{facts.other.name} has none"
    traces = facts.traces
    if traces is None or (traces.complete and not traces.sentences):
        return "no .NET runtime was found in this process"
    said = [*traces.sentences, *([traces.why_not] if traces.why_not else [])]
    return f"no .NET runtime was found in this process, but: {'; '.join(said)}"


def _is_small(facts: Gathered) -> bool:
    core = facts.process.corefile
    return core is not None and core.kind in ("mini", "triage")


def _locks(facts: Gathered) -> None:
    unknown = [w.thread.index for w in facts.waits if w.call.inside is None]
    lacks = [sentence_of(group) for group in facts.unsettled]
    if unknown:
        lacks.append(f"{plural(len(unknown), 'thread')} of which it cannot be told whether it waits or runs")
    if lacks:
        facts.cover("locks", "partial", "; ".join(lacks[:6]) + (f"; {len(lacks) - 6} more" if len(lacks) > 6 else ""))
        return
    waiting = sum(len(k.waiters) for k in facts.locks)
    facts.cover(
        "locks",
        "complete",
        f"{plural(len(facts.locks), 'native lock')} in use or waited for, {plural(waiting, 'waiter')}",
    )


def _managed(facts: Gathered) -> None:
    other = facts.other
    if other is not None:
        how = f"a process of {other.name} ({other.how}), whose own locks are not read; {other.advice}"
        facts.cover("other-runtime", "none", how)
    if facts.runtime is None:
        return
    _managed_code(facts)
    managed = facts.managed
    if managed is None or not managed.threads:
        why = managed.coverage if managed is not None else "the runtime's thread list was not found"
        facts.cover("managed-threads", "none", why)
    else:
        facts.cover("managed-threads", managed.status, managed.coverage)
    _managed_locks(facts)
    _thread_pool(facts)


def _thread_pool(facts: Gathered) -> None:
    look = facts.of(PoolLook)
    pool = look.pool
    if pool is None:
        facts.cover("thread-pool", "complete" if look.absent else "none", look.why)
        return
    lacks = list(dict.fromkeys(pool.queues.lacks))
    if not look.followed:
        lacks.append("not every queued work item was followed to the tasks that it would release")
    if len(pool.workers) != pool.counts.existing:
        lacks.append(f"{plural(len(pool.workers), 'worker')} found on stacks")
    counts = (
        f"{pool.counts.working} of {plural(pool.counts.existing, 'worker')} at work, at most {pool.counts.maximum:,}"
    )
    queued = f"{plural(len(pool.queues.items), 'work item')} queued"
    facts.cover("thread-pool", "partial" if lacks else "complete", "; ".join([counts, queued, *lacks[:6]]))


def _managed_code(facts: Gathered) -> None:
    """How many managed frames have their method's name, and what lacks for the others."""
    code, view = facts.code, facts.view
    if code is None or view is None:
        facts.cover("managed-code", "none", "time ran out before the managed frames were named")
        return
    parts = [f"{code.named} of {plural(code.all, 'managed frame')} named"]
    if code.by_token:
        lacking = sorted(code.assemblies_lacking)
        shown = ", ".join(lacking[:4]) + (" ..." if len(lacking) > 4 else "")
        parts.append(
            f"{code.by_token} by token only: the metadata of {shown} is not in the dump (-m names a folder with it)"
        )
    if code.unnamed:
        parts.append(f"{code.unnamed} not: {code.reasons[0]}" if code.reasons else f"{code.unnamed} not")
    parts += view.notes[:2]
    if not view.verified:
        parts.append("names of this version and system were not compared with another reader's")
    cut = code.chain_ends.get("limit", 0)
    if cut:
        parts.append(
            f"the runtime's frame chain of {plural(cut, 'thread')} was cut: P/Invokes further out are not told"
        )
    complete = code.named == code.all and not cut
    facts.cover(
        "managed-code",
        "complete" if complete else "partial" if code.named + code.by_token else "none",
        "; ".join(parts),
    )


def unexplained(facts: Answers) -> List[Thread]:
    """Threads of managed code in a wait that is for no lock, and that nothing recognised either."""
    if facts.around is None:
        return []
    suspended = facts.suspension is not None and facts.suspension.suspender is not None
    found = []
    for wait in facts.waits:
        if wait.call.inside is not True or wait.lock is not None or "managed-locks" in wait.areas:
            continue
        if facts.around.record(wait.thread) is None or (wait.explained and not _in_runtime(wait.thread)):
            continue
        if wait.target is not None and wait.target.kind != "event":
            continue
        if suspended and wait.call.kind in ("futex", "sleep", "psynch-condition"):
            continue  # who comes back from native code, or suspends, waits for the suspension
        found.append(wait.thread)
    return found


def _in_runtime(thread: Thread) -> bool:
    """Below libc the runtime itself: then the native condition variable is only what the PAL sleeps on."""
    for frame in thread.frames()[:8]:
        if frame.module is not None and not frame.module.name.startswith(LIBC_MODULES):
            return "coreclr" in frame.module.name or not frame.module.name.endswith((".so", ".dylib"))
    return True


def _managed_locks(facts: Gathered) -> None:
    reading = facts.reading
    if reading is None or "managed-locks" not in reading.areas:
        facts.cover("managed-locks", "none", "managed locks were not read: the runtime's threads are not known")
        return
    lacks = list(dict.fromkeys(why for area, why in reading.lacks if area == "managed-locks"))
    for lock in facts.locks:
        if lock.waiters and lock.state.owners_unknown:
            lacks.append(f"{lock.label}: {lock.state.owners_unknown}")
    strange = unexplained(facts)
    if strange:
        many = plural(len(strange), "managed thread waits", "managed threads wait")
        lacks.append(f"{many} for something that was not recognised: {ranges(t.index for t in strange)}")
    rows = sum(1 for lock in facts.locks if lock.state.managed)
    seen = f"{plural(rows, 'managed lock')} held or waited for"
    facts.cover("managed-locks", "partial" if lacks else "complete", "; ".join([seen, *lacks]))
