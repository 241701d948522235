"""wait-without-owner: threads wait for a semaphore, a condition, a barrier or an event. A note, never a verdict.

Idle workers and those who wait for a signal that was lost look the same: nothing in memory says who should come.
"""

from __future__ import annotations

from typing import Dict, List

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.unexplained import ends_by_itself
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.ownerless_managed import managed_waits
from dumpwalk.locks.graph import Node
from dumpwalk.locks.waits import Wait

KIND = "wait-without-owner"
_SHOWN = 8


def detect(facts: Facts) -> List[Finding]:
    if facts.runtime is not None:
        return managed_waits(facts)  # each of the runtime's own service threads sleeps natively
    events: Dict[Node, List[Wait]] = {}
    for wait in facts.waits:
        if (
            wait.lock is None
            and wait.target is not None
            and wait.target.kind == "event"
            and not ends_by_itself(facts.process, wait)
        ):
            events.setdefault(wait.target, []).append(wait)
    return [_finding(facts, events)] if events else []


def _finding(facts: Facts, events: Dict[Node, List[Wait]]) -> Finding:
    labels = facts.reading.labels if facts.reading is not None else {}
    lines = []
    evidence: List[Evidence] = []
    for node, waits in events.items():
        threads = [w.thread for w in waits]
        verb = "waits" if len(waits) == 1 else "wait"
        lines.append(f"{wording.thread_words(threads).capitalize()} {verb} for {labels[node]}.")
        first = waits[0]
        argument = facts.process.arch.syscall_arguments[0]
        what = f"thread {first.thread.index} waits for {labels[node]}"
        value = first.thread.registers.get(argument, 0)
        evidence.append(wording.register_evidence(first.thread, argument, value, what, first.how, first.grade))
    count = sum(len(waits) for waits in events.values())
    more = (f"{len(lines) - _SHOWN} more such objects.",) if len(lines) > _SHOWN else ()
    return Finding(
        id=KIND,
        kind=KIND,
        confidence="corroborated",
        title=f"{wording.plural(count, 'thread waits', 'threads wait')} for semaphores, conditions or barriers, which nobody owns.",
        observed=(*lines[:_SHOWN], *more),
        therefore=(),
        consistent_with=("Idle workers.", "A wake-up that will never come: memory looks the same."),
        not_established=("Who should wake them. A second dump, under load, tells idle threads from forgotten ones.",),
        evidence=tuple(evidence[:_SHOWN]),
        repro=tuple(wording.repro_of(evidence[:_SHOWN])),
        status="none",
        summary=(*lines[:_SHOWN], *more),
        actors=tuple(Actor(w.thread.index, "waiter") for waits in events.values() for w in waits),
    )


DETECTOR = Detector(KIND, 85, {"none": "threads wait for something that nobody owns"}, "a note", detect)
