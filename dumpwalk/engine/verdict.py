"""One verdict out of the findings and the coverage, and its line.

Precedence: hang, suspicious, inconclusive, none; within one status the order of the detectors. "none" is said only where
coverage is enough to say so, and its sentence names the scope.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Tuple

from dumpwalk.analysis.async_look import AsyncLook
from dumpwalk.analysis.facts import Facts, Unsettled
from dumpwalk.analysis.unexplained import (
    NOT_CAPTURED,
    OTHER_RUNTIME,
    OWNER_UNKNOWN,
    UNKNOWN_KIND,
    sentence_of,
    unrecognised,
)
from dumpwalk.claims.model import Finding, Verdict
from dumpwalk.claims.words import Status
from dumpwalk.core.names import plural

EXIT_CODES: Dict[Status, int] = {"hang": 10, "suspicious": 11, "inconclusive": 12, "none": 0}

_UNSETTLED = {
    OWNER_UNKNOWN: ("owner-unknown", "some threads wait for a lock that names no owner"),
    UNKNOWN_KIND: ("unexplained-wait", "some threads wait for something that dumpwalk cannot read"),
    NOT_CAPTURED: ("not-captured", "some threads wait for something that is not in the dump"),
}

_OWNER_WAITS = "lock-contention"
"""The kind whose inconclusive findings lack a proof in the dump itself, not in what was read of it."""

_SCOPE = "nothing stuck in native locks, managed locks and the dispatch cache"
_SCOPE_NATIVE = "nothing stuck in native locks; the process has no .NET runtime"


_FIRST = ("crash", "not-a-hang")
"""Kinds that say why the process stands where nothing hangs: told before everything, and never as "nothing stuck"."""


def decide(facts: Facts, findings: Sequence[Finding]) -> Verdict:
    """The verdict; never "none" where something that was needed could not be read. A crash is said first where no hang is."""
    verdict = _decide(facts, findings)
    first = next((f for kind in _FIRST for f in findings if f.kind == kind), None)
    if first is None or verdict.status in ("hang", "suspicious"):
        return verdict
    headline = _first_headline(first)
    if verdict.status != "none":
        return replace(verdict, headline=f"{headline} {verdict.headline}")
    return _verdict("none", first.kind, first.sentence or first.title, headline, first)


def _first_headline(finding: Finding) -> str:
    if finding.kind != "crash":
        return finding.title
    said = finding.observed[0].split(" received ", 1)
    what = f"{said[0][0].lower()}{said[0][1:]} received {said[1]}" if len(said) == 2 else finding.observed[0]
    return " ".join([f"CRASH, not a hang: {what}", *finding.observed[1:]])


def _decide(facts: Facts, findings: Sequence[Finding]) -> Verdict:
    for finding in findings:
        if finding.status in ("hang", "suspicious"):
            return _verdict(finding.status, finding.kind, finding.sentence or finding.title, finding.title, finding)
    lacking = _lacking(facts, findings)
    if lacking is not None:
        kind, sentence, headline = lacking
        picture = next((f for f in findings if f.status == "inconclusive"), None)
        return _verdict("inconclusive", kind, sentence, picture.title if picture else headline, picture)
    if facts.runtime is not None:
        sentence, rest = _SCOPE, ", managed locks and the dispatch cache."
    elif facts.other is not None:
        sentence = f"nothing stuck in native locks; locks of {facts.other.name} are not looked at"
        rest = f"; this is a process of {facts.other.name}, whose own locks are not looked at."
    else:
        sentence, rest = _SCOPE_NATIVE, "; the process has no .NET runtime."
    headline = f"Nothing stuck was found in native locks{rest}"
    return _verdict("none", "nothing-stuck", sentence, headline)


def _verdict(status: Status, kind: str, sentence: str, headline: str, finding: Optional[Finding] = None) -> Verdict:
    signature = finding.signature if finding is not None and status in ("hang", "suspicious") else None
    line = f"dumpwalk-verdict: {status} {kind}: {sentence} [sig {signature or '-'}]"
    decided = finding.id if finding is not None else None
    return Verdict(status, kind, sentence, signature, line, EXIT_CODES[status], headline, decided)


def _of_waits(facts: Facts, group: Unsettled) -> Tuple[str, str, str]:
    if group.reason == OTHER_RUNTIME and facts.other is not None:
        return (
            "other-runtime",
            "threads wait in another language's runtime, whose locks dumpwalk does not read",
            f"This is a process of {facts.other.name}: {sentence_of(group)}; {facts.other.advice}.",
        )
    kind, sentence = _UNSETTLED[group.reason]
    return kind, sentence, f"{sentence_of(group)}."


def _lacking(facts: Facts, findings: Sequence[Finding]) -> Optional[Tuple[str, str, str]]:
    """(kind, sentence, headline) of the first thing that is missing for an answer, or None."""
    core = facts.process.corefile
    cover = {c.area: c for c in facts.coverage}
    problems: List[Tuple[str, str, str]] = []
    if facts.stopped is not None:
        problems.append(
            (
                "stopped-early",
                "time or memory ran out before everything was looked at",
                f"Not everything was looked at: {facts.stopped}.",
            )
        )
    if core is not None and core.truncated:
        problems.append(
            (
                "truncated",
                "the dump is cut off, and what is missing may hold the answer",
                "The dump is truncated, so no hang can be ruled out; what is left proves none.",
            )
        )
    if core is not None and core.evidence is not None and core.evidence.changed:
        problems.append(
            (
                "changed",
                "the evidence core was changed after it was written",
                "The evidence core was changed after it was written, so it can rule nothing out.",
            )
        )
    if facts.limits_hit:
        problems.append(
            (
                "limit-hit",
                "a limit was hit before everything was looked at",
                f"Not everything was looked at: {'; '.join(facts.limits_hit)}.",
            )
        )
    cache = cover.get("dispatch-cache")
    if facts.runtime is not None and cache is not None and cache.status != "complete":
        small = facts.location.pointer_not_captured or (core is not None and core.kind in ("mini", "triage"))
        if facts.cache is not None:
            problems.append(
                (
                    "not-captured",
                    "part of the dispatch cache is not in the dump",
                    "Part of the dispatch cache is not in the dump; what is there shows nothing stuck.",
                )
            )
        elif small and unrecognised(facts):
            many = plural(len(unrecognised(facts)), "managed thread waits", "managed threads wait")
            problems.append(
                (
                    "not-captured",
                    "managed threads wait for what is not in this kind of dump",
                    f"{many} for something of which this kind of dump does not hold the memory; a heap or full dump would.",
                )
            )
        elif small:
            problems.append(
                (
                    "not-captured",
                    "the dispatch cache and its lock were not found in what this kind of dump holds",
                    "The dispatch cache and its lock were not found in what this kind of dump holds; a heap or full dump "
                    "has them.",
                )
            )
        else:
            problems.append(
                (
                    "not-found",
                    "the dispatch cache was not found in the memory of this process",
                    "The dispatch cache was not found, so it cannot be called healthy.",
                )
            )
    traces = facts.traces if facts.runtime is None else None
    if traces is not None and traces.sentences and facts.other is None:
        problems.append(
            (
                "not-found",
                "the process shows traces of a .NET runtime, which was not found",
                f"No .NET runtime was found, but {traces.sentences[0]}; its locks and cache were not read.",
            )
        )
    elif traces is not None and not traces.complete:
        problems.append(
            (
                "not-found",
                "whether the process has a .NET runtime cannot be told",
                f"Whether the process has a .NET runtime cannot be told: {traces.why_not}.",
            )
        )
    problems += [_of_waits(facts, group) for group in facts.unsettled]
    problems += [
        (f.kind, f.sentence or f.title, f.title)
        for f in findings
        if f.status == "inconclusive" and f.kind == _OWNER_WAITS
    ]
    locks = cover.get("locks")
    if locks is not None and locks.status != "complete" and not facts.unsettled:
        problems.append(
            (
                "not-captured",
                "of some threads it cannot be told whether they wait",
                "Of some threads it cannot be told whether they wait or run.",
            )
        )
    threads = cover.get("threads")
    if threads is not None and threads.status != "complete":
        problems.append(
            (
                "threads-unknown",
                "not all threads, or not their ids, are in the dump",
                "Not all threads, or not their ids, are in the dump.",
            )
        )
    managed = cover.get("managed-locks")
    if facts.runtime is not None and managed is not None and managed.status != "complete":
        problems.append(_of_managed_locks(facts))
    pool = cover.get("thread-pool")
    if pool is not None and pool.status != "complete" and _blocked_workers(facts):
        many = plural(_blocked_workers(facts), "worker of the thread pool waits", "workers of the thread pool wait")
        problems.append(
            (
                "pool-unread",
                "workers of the thread pool wait for tasks, and the pool's queues could not be read",
                f"{many} for tasks, and the pool's queues could not be read.",
            )
        )
    unread = _unread_chains(facts)
    if unread:
        many = plural(unread, "thread blocks", "threads block")
        problems.append(
            (
                "async-unread",
                "threads block on awaiting methods that could not be followed to what they wait for",
                f"{many} on awaiting methods that could not be followed to what they wait for.",
            )
        )
    failed = [c for c in facts.coverage if c.area.startswith("detector ")]
    if failed:
        problems.append(
            ("unreadable", "a part of the analysis failed on this dump", "A part of the analysis failed on this dump.")
        )
    return problems[0] if problems else None


def _unread_chains(facts: Facts) -> int:
    """Threads in an untimed wait for a task, of which it cannot be told what that waits for or whether anybody can end it."""
    look = facts.of(AsyncLook)
    if look.census is None and facts.around is not None:
        return sum(1 for wait in facts.around.task_waits.values() if not wait.timed)
    return sum(1 for one in look.blocked if one.open_question is not None)


_WORKER = "System.Threading.ThreadPoolWorkQueue.Dispatch"
"""On the stack of every worker of the pool that runs something (ThreadPoolWorkQueue.cs, 3.1 to 10)."""


def _blocked_workers(facts: Facts) -> int:
    """Workers of the pool in an untimed wait for a task: what would release one may stand in a queue behind them."""
    waiting = [w.thread for w in facts.waits if w.kind == "task" and not w.timed]
    return sum(1 for t in waiting if any((f.function or "").startswith(_WORKER) for f in t.frames()))


def _of_managed_locks(facts: Facts) -> Tuple[str, str, str]:
    unknown = [k for k in facts.locks if k.waiters and k.state.owners_unknown]
    if unknown:
        return (
            "owner-unknown",
            "some threads wait for a lock whose owners could not all be told",
            f"{plural(len(unknown), 'lock is', 'locks are')} waited for, and not all owners could be told.",
        )
    threads = unrecognised(facts)
    if threads:
        many = plural(len(threads), "managed thread waits", "managed threads wait")
        return (
            "managed-wait-unknown",
            "managed threads wait for something that was not recognised",
            f"{many} for something that was not recognised.",
        )
    return (
        "managed-locks-unread",
        "managed locks could not all be read",
        "Managed locks could not all be read; what was read shows nothing stuck.",
    )
