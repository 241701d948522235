"""async-stuck: a thread blocks on a chain of awaiting methods whose end nobody can reach any more.

Suspicious, never a hang: that nobody refers to an object is the sum of what was read, and code can make a reference where no
aligned word of captured memory is one. Threads that block on chains with the same methods and the same end are one finding.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from dumpwalk.analysis.async_look import AsyncLook, BlockedChain
from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.coreclr.tasks.stuck import EndLook
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.locks.state import Word

KIND = "async-stuck"
SENTENCE = (
    "a chain of awaiting methods ends at something for which nobody in the process is shown to be responsible any more"
)
_SHOWN = 6


def detect(facts: Facts) -> List[Finding]:
    groups: Dict[Tuple[str, ...], List[BlockedChain]] = {}
    for one in facts.of(AsyncLook).blocked:
        if one.stuck:
            groups.setdefault(_key(one), []).append(one)
    return [_finding(facts, number, group) for number, group in enumerate(groups.values())]


def _key(one: BlockedChain) -> Tuple[str, ...]:
    """What two dumps of one bug have in common: the methods and the kind of the end."""
    return tuple(sorted({text for look in one.dead_ends for text in (*_labels(look), f"end {look.end.kind}")}))


def _labels(look: EndLook) -> List[str]:
    return [node.label for node in look.way if node.what and node.kind != "task"]


def _finding(facts: Facts, number: int, group: Sequence[BlockedChain]) -> Finding:
    first = group[0]
    looks = first.dead_ends
    end = looks[0]
    evidence = _evidence(facts, first, looks)
    threads = [one.thread for one in group]
    lines = [_line(facts, one) for one in group[:_SHOWN]]
    if len(group) > _SHOWN:
        lines.append(f"{len(group) - _SHOWN} more threads likewise: {wording.ranges(t.index for t in threads)}.")
    lines.append(_end_line(end))
    subject = f"Thread {first.thread.index} blocks" if len(group) == 1 else f"{len(group)} threads block"
    proved = all(node.grade == "proved" for look in looks for node in look.way) and end.end.grade == "proved"
    return Finding(
        id=f"{KIND}-{number + 1}" if number else KIND,
        kind=KIND,
        confidence="corroborated" if proved else "inferred",
        title=f"{subject} on awaiting methods, and nobody is left who could end what they wait for.",
        observed=tuple(lines),
        therefore=("The methods go on only when it is completed, and no code that can still run leads to it.",),
        consistent_with=(_usual_cause(end),),
        not_established=(
            "Whether code holds a reference that no aligned word of the captured memory shows.",
            "Who should have completed it.",
        ),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="suspicious",
        summary=tuple(lines),
        actors=tuple(Actor(t.index, "waiter") for t in threads),
        signature_parts=_parts(facts, group),
    )


def _line(facts: Facts, one: BlockedChain) -> str:
    look = one.dead_ends[0]
    chain = " -> ".join(_labels(look)) or one.wait.tasks[0].what
    return f"{wording.person(facts, one.thread)} blocks on {chain}{wording.place(facts, one.thread)}."


def _end_line(look: EndLook) -> str:
    address = f" at 0x{look.end.address:x}" if look.end.address is not None and " at 0x" not in look.end.what else ""
    if look.end.kind == "cycle":
        return f"The chain leads back to its own task{address}."
    return f"It ends at {look.end.what}{address}, which nothing leads to but the methods that wait for it."


def _usual_cause(look: EndLook) -> str:
    if look.end.kind == "semaphore":
        return "A SemaphoreSlim used as a lock by async methods, one of which never released it."
    if look.end.kind == "channel":
        return "A channel whose writers are gone without completing it."
    if look.end.kind == "cancellation":
        return "A CancellationTokenSource that was dropped without being cancelled."
    if look.end.kind == "cycle":
        return "An async method that awaits its own task, by way of others."
    return "A TaskCompletionSource whose owner was dropped without completing it: an exception, an early return, a lost callback."


def _evidence(facts: Facts, one: BlockedChain, looks: Sequence[EndLook]) -> List[Evidence]:
    thread, wait = one.thread, one.wait
    what = f"thread {thread.index} waits for the task {wait.tasks[0].what} at 0x{wait.tasks[0].address:x}"
    found: List[Evidence] = []
    if wait.seen.address is not None:
        seen = Word("stack word", wait.seen.address, wait.seen.value, 8, " ")
        found.append(wording.word_evidence(seen, what, wait.how, wait.grade))
    else:
        found.append(Evidence(what, None, None, wait.how, wait.grade))
    look = looks[0]
    for node, following in zip(look.way, (*look.way[1:], None)):
        target = following.what if following is not None else look.end.what
        what = f"{node.label} waits for {target}"
        if node.words:
            found.append(wording.word_evidence(node.words[0], what, node.how, node.grade))
            found += [wording.word_evidence(w, f"{target} goes on to {node.what}", w.what) for w in node.words[1:]]
        elif node.how:
            found.append(Evidence(what, None, None, node.how, node.grade))
    found.append(Evidence(f"it ends at {look.end.what}", None, None, look.end.how, look.end.grade))
    if look.reach is not None:
        passed = ", ".join(f"0x{obj:x}" for obj in look.reach.passed[:8])
        how = f"{look.reach.searched / (1 << 20):,.1f} MiB of writable memory were searched"
        how += (
            f"; what names it is named by nothing else: {passed}" if passed else "; only the methods that wait name it"
        )
        found.append(Evidence("nothing that can still run leads to it", None, None, how, "corroborated"))
    return found


def _parts(facts: Facts, group: Sequence[BlockedChain]) -> Tuple[str, ...]:
    parts = set(_key(group[0]))
    for one in group:
        own = facts.around.own_method(one.thread) if facts.around is not None else None
        if own is not None:
            parts.add(f"in {own}")
    return tuple(sorted(parts))


DETECTOR = Detector(KIND, 75, {"suspicious": SENTENCE}, "suspicious (11)", detect)
