"""Two reports into one comparison: stuck, moving, or not to be told. Never more than the two looks show."""

from __future__ import annotations

from datetime import timezone
from typing import List, Optional, Sequence

from dumpwalk import __version__, limits
from dumpwalk.compare import groups as grouping
from dumpwalk.compare import locks as lock_motions
from dumpwalk.compare import threads as thread_motions
from dumpwalk.compare.identity import moment, refuse_strangers
from dumpwalk.compare.model import (
    EXIT_CODES,
    Comparison,
    CounterMotion,
    Group,
    LockMotion,
    Look,
    Outcome,
    Status,
    ThreadMotion,
)
from dumpwalk.core.names import plural, ranges
from dumpwalk.report.model import SCHEMA_VERSION, Report, Tool
from dumpwalk.report.sections.movement.model import STOP, Movement


def compare(first: Report, second: Report) -> Comparison:
    """The earlier look first. Raises NotOneProcess where they are of different processes, or swapped."""
    refuse_strangers(first, second)
    threads = thread_motions.motions(first, second)
    pairs = {m.thread: m.before for m in threads if m.thread is not None and m.before is not None}
    locks = lock_motions.motions(first, second, pairs)
    counters = _counters(first, second)
    seconds = _between(first, second)
    found = grouping.groups(first, grouping.Second(second, threads, locks))
    if seconds is not None and seconds < limits.LOOKS_APART_SECONDS:
        found = [_too_near(g, seconds) if g.signature is None else g for g in found]
    found.sort(key=lambda g: (_RANK[g.status], -len(g.threads)))
    return Comparison(
        schema_version=SCHEMA_VERSION,
        tool=Tool("dumpwalk", __version__),
        verdict=_outcome(found, threads, locks, counters, seconds),
        first=_look(first),
        second=_look(second),
        seconds=seconds,
        groups=tuple(found),
        threads=tuple(threads),
        locks=tuple(locks),
        counters=tuple(counters),
        not_established=tuple(_not_established(first, second, seconds)),
    )


_RANK = {"stuck": 0, "unknown": 1, "moving": 2}


def _too_near(group: Group, seconds: float) -> Group:
    if group.status != "stuck":
        return group
    why = f"The looks are {seconds:.3g} s apart, which is too short to call anything stuck."
    return Group("unknown", group.title, group.threads, group.locks, (*group.facts, why), None)


def _counters(first: Report, second: Report) -> List[CounterMotion]:
    one, other = first.of(Movement), second.of(Movement)
    before = {(c.name, c.address): c.value for c in one.counters} if one is not None else {}
    after = other.counters if other is not None else ()
    return [
        CounterMotion(c.name, c.address, before[c.name, c.address], c.value)
        for c in after
        if (c.name, c.address) in before
    ]


def _look(report: Report) -> Look:
    movement = report.of(Movement)
    taken = movement.taken if movement is not None else None
    return Look(report.dump.path, taken, movement.taken_from if movement is not None else None, report.verdict.line)


def _between(first: Report, second: Report) -> Optional[float]:
    """None where one look does not tell, or the files' times are the wrong way round: they were copied."""
    looks = [report.of(Movement) for report in (first, second)]
    times = [moment(look.taken) if look is not None else None for look in looks]
    if times[0] is None or times[1] is None:
        return None
    seconds = (times[1].astimezone(timezone.utc) - times[0].astimezone(timezone.utc)).total_seconds()
    return seconds if seconds > 0 else None


def _outcome(
    found: Sequence[Group],
    threads: Sequence[ThreadMotion],
    locks: Sequence[LockMotion],
    counters: Sequence[CounterMotion],
    seconds: Optional[float],
) -> Outcome:
    stuck = [g for g in found if g.status == "stuck"]
    open_ones = [g for g in found if g.status == "unknown"]
    because = _because(threads, locks, counters)
    status: Status
    if stuck:
        members = sorted({t for g in stuck for t in g.threads})
        status, sentence = "stuck", "the same threads wait for the same owners, and nobody that they depend on moved"
        headline = f"{_threads(members)} did not move, and nobody that they depend on did."
    elif open_ones:
        status, sentence = (
            "unknown",
            "a lock is held by the same owner in both looks, and whether that ends cannot be told",
        )
        headline = f"{open_ones[0].title} {open_ones[0].facts[-1]}"
    elif because:
        status, sentence = "moving", "locks change hands, threads move or counters run on"
        headline = "Nothing is stuck between the two looks: " + "; ".join(because) + "."
    else:
        status, sentence = "unknown", "nothing moved, and nothing waits for a lock that is held in both looks"
        headline = "Nothing moved, and no lock with an owner is waited for: idle, or stuck in what has no owner."
    code = EXIT_CODES[status]
    return Outcome(status, code, f"dumpwalk-compare: {status}: {sentence}", headline + _apart(seconds), tuple(because))


def _apart(seconds: Optional[float]) -> str:
    return f" ({seconds:.3g} s between the looks)" if seconds is not None else ""


def _threads(numbers: Sequence[int]) -> str:
    return f"Thread {numbers[0]}" if len(numbers) == 1 else f"Threads {ranges(numbers)}"


def _because(
    threads: Sequence[ThreadMotion], locks: Sequence[LockMotion], counters: Sequence[CounterMotion]
) -> List[str]:
    """What moved, a phrase each."""
    phrases = []
    handed = [m for m in locks if m.motion in ("changed", "released", "taken") and not m.what.startswith("free")]
    if handed:
        phrases.append(f"{plural(len(handed), 'lock')} changed hands or waiters")
    for motion, words in (
        ("moved", "moved"),
        ("turning", "ran within one function"),
        ("new", "began"),
        ("ended", "ended"),
    ):
        count = sum(m.motion == motion for m in threads)
        if count:
            phrases.append(f"{plural(count, 'thread')} {words}")
    ran = [c for c in counters if c.before != c.after]
    if ran:
        phrases.append(f"{plural(len(ran), 'counter')} ran on ({', '.join(c.name for c in ran[:3])})")
    return phrases


def _not_established(first: Report, second: Report, seconds: Optional[float]) -> List[str]:
    told = ["Two looks show two moments: what happened between them, and what comes after, they do not."]
    if seconds is None:
        told.append("How much time lies between the looks is not known.")
    elif STOP not in (_source(first), _source(second)):
        told.append(f"The {seconds:.3g} s between the looks are those of the files' times, which copying may change.")
    for report in (first, second):
        if report.verdict.status == "inconclusive":
            told.append(f"{report.dump.path} alone is inconclusive: {report.verdict.sentence}.")
    return told


def _source(report: Report) -> Optional[str]:
    movement = report.of(Movement)
    return movement.taken_from if movement is not None else None
